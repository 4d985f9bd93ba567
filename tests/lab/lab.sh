#!/bin/bash
# A lab of real guests on this machine: libvirtd, four guests, two containers.
#   lab.sh up [STATE]      starts what is missing, remembers what it started in STATE
#   lab.sh down [STATE]    takes down exactly that
#   lab.sh accel [STATE]   prints kvm or qemu: what a guest of the lab can run on
# LAB_GUESTS names the guests wanted, of idle, busy, io and leak ("": none).
# STATE defaults to build/lab/state. A run whose predecessor was killed finds its leavings there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
verb=${1:-}
state=${2:-$top/build/lab/state}
lab=$top/build/lab
uri=qemu:///system
guests=${LAB_GUESTS-idle busy io leak}
bridge=plxlab0
virsh="virsh -q -c $uri"

note() { echo "lab: $*" >&2; }

# Remembers a process by pid and start time, so that a number used again is never killed.
remember() { echo "process $1 $(awk '{ print $22 }' "/proc/$1/stat") $2" >>"$state"; }
alive() { [ "$(awk '{ print $22 }' "/proc/$1/stat" 2>/dev/null)" = "$2" ]; }

libvirt_up() {
        timeout 10 $virsh version >/dev/null 2>&1 && return
        mkdir -p /run/libvirt
        for daemon in virtlogd libvirtd; do
                local pidfile=/run/$daemon.pid pid=
                [ -s $pidfile ] && pid=$(cat $pidfile)
                [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = $daemon ] && continue
                /usr/sbin/$daemon -d
                for _ in $(seq 50); do [ -s $pidfile ] && break; sleep 0.1; done
                remember "$(cat $pidfile)" $daemon
        done
        for _ in $(seq 100); do timeout 5 $virsh version >/dev/null 2>&1 && return; sleep 0.1; done
        note "libvirtd does not answer on $uri"
        exit 1
}

# Where no udev gave /dev/kvm its group, libvirt finds KVM when it asks QEMU as root and not when it starts a guest
# as libvirt-qemu, and asks QEMU anew for each guest: half a minute each.
kvm_in_order() {
        [ -c /dev/kvm ] || return 0
        su -s /bin/sh -c 'test -r /dev/kvm -a -w /dev/kvm' libvirt-qemu 2>/dev/null && return 0
        echo "device /dev/kvm $(stat -c '%u:%g %a' /dev/kvm)" >>"$state"
        chown root:kvm /dev/kvm && chmod 660 /dev/kvm || note "/dev/kvm cannot be given to the group kvm: guests start slowly"
}

# KVM counts only if a guest boots on it: some machines have a /dev/kvm on which Linux does not.
accel() {
        if [ ! -s "$lab/accel" ]; then
                local kind=qemu
                if [ -w /dev/kvm ] && su -s /bin/sh -c 'test -w /dev/kvm' libvirt-qemu 2>/dev/null &&
                   timeout 15 qemu-system-x86_64 -accel kvm -cpu host -m 128 -nographic -no-reboot -nodefaults -serial stdio \
                        -kernel "$lab/vmlinuz" -initrd "$lab/initrd.gz" -append "console=ttyS0 quiet panic=-1 lab.role=probe" \
                        </dev/null 2>/dev/null | grep -q 'lab guest up'; then
                        kind=kvm
                fi
                echo $kind >"$lab/accel"
        fi
        cat "$lab/accel"
}

bridge_up() {
        [ -d /sys/class/net/$bridge ] && return
        if ip link add $bridge type bridge 2>/dev/null; then
                ip link set $bridge type bridge mcast_snooping 0 2>/dev/null || true
                sysctl -qw net.ipv6.conf.$bridge.disable_ipv6=1 2>/dev/null || true
                ip link set $bridge up
                echo "bridge $bridge" >>"$state"
        else
                note "no bridge can be made here: guests get no network interface"
        fi
}

guest_xml() { # guest_xml ROLE
        local role=$1 nic=""
        [ -d /sys/class/net/$bridge ] && nic="<interface type='bridge'><source bridge='$bridge'/><model type='virtio'/></interface>"
        cat <<XML
<domain type='$(accel)'>
  <name>lab-$role</name>
  <metadata><lab:guest xmlns:lab='https://parallax.example/lab'>$role</lab:guest></metadata>
  <memory unit='MiB'>192</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>$lab/vmlinuz</kernel><initrd>$lab/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 lab.role=$role</cmdline></os>
  <features><acpi/></features>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/>
      <source file='$lab/disk/$role.qcow2'/><target dev='vda' bus='virtio'/></disk>
    $nic
    <console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <memballoon model='virtio'><stats period='5'/></memballoon>
  </devices>
</domain>
XML
}

guests_up() {
        mkdir -p "$lab/disk"
        chmod 755 "$lab" "$lab/disk"
        # Guests run as an own user, which must be able to reach the kernel and the disks.
        local folder=$lab
        while [ "$folder" != / ]; do
                if ! su -s /bin/sh -c "test -x '$folder'" libvirt-qemu 2>/dev/null; then
                        note "user libvirt-qemu cannot enter $folder; move the clone or: chmod o+x '$folder'"
                        exit 1
                fi
                folder=$(dirname "$folder")
        done
        for role in $guests; do
                if [ -n "$($virsh domuuid "lab-$role" 2>/dev/null)" ]; then
                        note "a domain lab-$role exists and is not this lab's: left alone"
                        continue
                fi
                qemu-img create -q -f qcow2 "$lab/disk/$role.qcow2" 64M
                guest_xml "$role" >"$lab/$role.xml"
                $virsh create "$lab/$role.xml" >/dev/null
                echo "domain $($virsh domuuid "lab-$role" | tr -d '[:space:]') lab-$role" >>"$state"
        done
}

engine_up() { # false when no engine can run here
        docker version >/dev/null 2>&1 && return 0
        command -v dockerd >/dev/null || return 1
        # In its own process group: Ctrl-C at the terminal is for the demo, which then takes the engine down.
        setsid dockerd --iptables=false --ip6tables=false --bridge=none >"$lab/dockerd.log" 2>&1 </dev/null &
        local pid=$!
        for _ in $(seq 100); do docker version >/dev/null 2>&1 && break; kill -0 $pid 2>/dev/null || break; sleep 0.2; done
        if ! docker version >/dev/null 2>&1; then
                note "no container engine can run here (see $lab/dockerd.log): the lab goes on without containers"
                kill $pid 2>/dev/null || true
                return 1
        fi
        remember $pid dockerd
}

containers_up() {
        engine_up || return 0
        if ! docker image inspect parallax-lab >/dev/null 2>&1; then
                local tree; tree=$(mktemp -d)
                mkdir -p "$tree/bin" "$tree/tmp"
                cp /bin/busybox "$tree/bin/"
                for name in sh sleep dd cat; do ln -s busybox "$tree/bin/$name"; done
                tar -C "$tree" -c . | docker import - parallax-lab >/dev/null
                rm -rf "$tree"
                echo "image parallax-lab" >>"$state"
        fi
        container lab-web --memory 64m parallax-lab /bin/sleep 1000000
        container lab-worker parallax-lab /bin/sh -c 'while :; do dd if=/dev/zero of=/tmp/x bs=64k count=64 2>/dev/null; sleep 0.2; done'
}

container() { # container NAME ARGS...
        local name=$1; shift
        # One with our label was left by a run that lost its state.
        [ "$(docker container inspect -f '{{index .Config.Labels "parallax.lab"}}' "$name" 2>/dev/null)" != 1 ] || docker rm -f "$name" >/dev/null
        if docker container inspect "$name" >/dev/null 2>&1; then
                note "a container $name exists and is not this lab's: left alone"
                return
        fi
        echo "container $(docker run -d --network none --label parallax.lab=1 --name "$name" "$@") $name" >>"$state"
}

up() {
        mkdir -p "$lab" "$(dirname "$state")"
        [ ! -s "$state" ] || down # leavings of a run that was killed
        : >"$state"
        "$here/guest.sh" "$lab"
        kvm_in_order
        libvirt_up
        bridge_up
        guests_up
        containers_up
}

down() {
        [ -e "$state" ] || return 0
        # Engines are started again for the leavings of a killed run; they end last, after what they hold.
        if grep -q '^domain' "$state" && ! timeout 10 $virsh version >/dev/null 2>&1; then libvirt_up; fi
        if grep -qE '^(container|image)' "$state" && ! docker version >/dev/null 2>&1; then engine_up || true; fi
        { grep -v '^process' "$state" | tac; grep '^process' "$state" | tac; } >"$state.down" || true
        while read -r kind what rest; do
                case $kind in
                domain) timeout 20 $virsh destroy "$what" >/dev/null 2>&1 || true ;;
                container) docker rm -f "$what" >/dev/null 2>&1 || true ;;
                image) docker rmi "$what" >/dev/null 2>&1 || true ;;
                bridge) ip link del "$what" 2>/dev/null || true ;;
                device)
                        chown "${rest% *}" "$what" 2>/dev/null || true
                        chmod "${rest#* }" "$what" 2>/dev/null || true
                        ;;
                process)
                        # shellcheck disable=SC2086
                        set -- $rest
                        if alive "$what" "$1"; then
                                kill "$what" 2>/dev/null || true
                                for _ in $(seq 100); do alive "$what" "$1" || break; sleep 0.1; done
                                alive "$what" "$1" && kill -9 "$what" 2>/dev/null || true
                        fi
                        ;;
                esac
        done <"$state.down"
        rm -f "$state" "$state.down"
}

case $verb in
up) up ;;
down) down ;;
accel) "$here/guest.sh" "$lab"; accel ;;
*) echo "usage: lab.sh up|down|accel [STATE]" >&2; exit 2 ;;
esac

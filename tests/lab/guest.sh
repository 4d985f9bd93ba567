#!/bin/sh
# Builds what the lab's guests boot: Debian's cloud kernel and an initramfs with busybox and qemu-ga.
# Packages are downloaded and taken apart below OUT; nothing of them is installed on the host.
#   guest.sh OUT   ->  OUT/vmlinuz, OUT/initrd.gz
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
[ ! -e "$out/initrd.gz" ] || [ "$here/init" -nt "$out/initrd.gz" ] || [ "$here/guest.sh" -nt "$out/initrd.gz" ] || exit 0
mkdir -p "$out/deb"
chmod 755 "$out"

fetch() { # fetch PACKAGE: downloads it and unpacks it below OUT/PACKAGE
        [ ! -d "$out/$1" ] || return 0
        (cd "$out/deb" && { apt-get download -q "$1" >/dev/null 2>&1 || { apt-get update -qq && apt-get download -q "$1" >/dev/null; }; })
        rm -rf "$out/$1.part"
        dpkg-deb -x "$(ls "$out/deb/$1"_*.deb | tail -n 1)" "$out/$1.part"
        mv "$out/$1.part" "$out/$1"
}

kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-6/ { print $2; exit }')
if [ -z "$kernel" ]; then
        apt-get update -qq
        kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-6/ { print $2; exit }')
fi
fetch "$kernel"
fetch qemu-guest-agent
version=${kernel#linux-image-}

root=$out/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/lib/modules" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/run" "$root/etc"
cp /bin/busybox "$root/bin/busybox"
cp "$here/init" "$root/init"
chmod 755 "$root/init"

# The modules that the guests use, in the order in which they must be loaded.
depmod -b "$out/$kernel" "$version"
deps=$out/$kernel/lib/modules/$version/modules.dep
: >"$root/lib/modules/order"
for name in virtio_pci virtio_blk virtio_net virtio_console virtio_balloon; do
        line=$(grep -E "/$name\.ko[^ ]*:" "$deps" || true)
        [ -n "$line" ] || continue # built in
        # modules.dep names a module's needs right to left
        for path in $(echo "$line" | tr -d : | awk '{ for (i = NF; i >= 1; i--) print $i }'); do
                base=$(basename "$path")
                grep -qx "$base" "$root/lib/modules/order" && continue
                cp "$out/$kernel/lib/modules/$version/$path" "$root/lib/modules/$base"
                echo "$base" >>"$root/lib/modules/order"
        done
done

# qemu-ga with the libraries that it is linked with.
cp "$out/qemu-guest-agent/usr/sbin/qemu-ga" "$root/bin/qemu-ga"
ldd "$root/bin/qemu-ga" | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | sort -u | while read -r lib; do
        mkdir -p "$root$(dirname "$lib")"
        cp -L "$lib" "$root$lib"
done

cp "$out/$kernel/boot/vmlinuz-$version" "$out/vmlinuz"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd.part"
mv "$out/initrd.part" "$out/initrd.gz"
chmod 644 "$out/vmlinuz" "$out/initrd.gz"

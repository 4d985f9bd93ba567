#!/usr/bin/env python3
"""Every program that the build, the scripts and the tests start must come with a package of scripts/packages.txt, with
one that those need, or with every Debian. Works on what is installed here, and prints each program that does not."""
import glob
import os
import re
import shutil
import subprocess
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
SHELL = ["Makefile", "tests/lab/init", "tests/lab/cgroup2_init"]
SHELL += [f for pattern in ("scripts", "tests", "tests/*", "bench", "fuzz") for f in glob.glob(pattern + "/*.sh")]
PYTHON = [f for pattern in ("tests", "tests/system", "bench") for f in glob.glob(pattern + "/*.py")]
# Guests have busybox.
IN_GUEST = ("tests/lab/init", "tests/lab/cgroup2_init")

# Where a command may stand in a shell script, and where a command line begins in Python.
IN_SHELL = re.compile(
    r"(?:^|[|;&(`!]|\bthen|\bdo|\belse|\bexec|\bsetsid|\bnice(?: -n \d+)?|\btimeout \d+|\bxargs(?: -\S+)*|LC_ALL=C|"
    r"command -v|[a-z]+\(\) \{)\s*((?:/usr)?(?:/s?bin/)?[a-z][a-z0-9_.+-]+)(?=[\s;)\"|&]|$)",
    re.M,
)
IN_PYTHON = re.compile(r"(?:\[|\brun\(|\bwithin\()\s*\"((?:/usr/[a-z0-9/-]+/)?[a-z][a-z0-9_.+-]+)\"")


def programs():
    """{path of a program: a file that starts it}"""
    found = {}
    for names, pattern in ((SHELL, IN_SHELL), (PYTHON, IN_PYTHON)):
        for name in names:
            if name in IN_GUEST:
                continue
            with open(name, encoding="utf-8") as f:
                text = re.sub(r"(?m)(^|\s)#.*$", "", f.read())
            for word in pattern.findall(text):
                path = shutil.which(word, path="/usr/sbin:/usr/bin:/sbin:/bin")
                if path:
                    found.setdefault(os.path.realpath(path), f"{name}: {word}")
    return found


def dpkg(form):
    text = subprocess.run(["dpkg-query", "-W", "-f=" + form], capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in text.splitlines()]


def owners(paths):
    """{path: package}; a path may be known with or without its /usr."""
    names = set(paths) | {path.replace("/usr/", "/", 1) for path in paths}
    text = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True).stdout
    of = {line.split(": ", 1)[1]: line.split(":")[0] for line in text.splitlines() if not line.startswith("diversion")}
    return {path: of.get(path) or of.get(path.replace("/usr/", "/", 1)) for path in paths}


def needed(names, depends):
    """The packages and all that they depend on."""
    todo, seen = list(names), set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += depends.get(name, [])
    return seen


def main():
    rows = dpkg("${Package}\\t${Essential}\\t${Priority}\\t${Depends},${Pre-Depends}\\t${Provides}\\n")
    depends, always = {}, set()
    for name, essential, priority, needs, provides in rows:
        words = re.findall(r"[a-z0-9][a-z0-9+.-]+", re.sub(r"\([^)]*\)|:[a-z]+", "", needs))
        depends.setdefault(name, []).extend(words)
        for virtual in re.findall(r"[a-z0-9][a-z0-9+.-]+", re.sub(r"\([^)]*\)", "", provides)):
            depends.setdefault(virtual, []).append(name)
        if essential == "yes" or priority == "required":
            always.add(name)
    with open("scripts/packages.txt", encoding="utf-8") as f:
        listed = {line.split()[1] for line in f if line.strip() and not line.startswith("#")}
    known = needed(listed | always, depends)
    found = programs()
    missing = sorted(
        f"{found[path]}: package {package} is not in scripts/packages.txt"
        for path, package in owners(found).items()
        if package and package not in known
    )
    print("\n".join(missing) if missing else f"packages: {len(found)} programs in order")
    return 1 if missing or len(found) < 40 else 0


sys.exit(main())

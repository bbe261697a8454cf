#!/bin/sh
# The same work on the bare directory and on the mount, in one run, and the ratios between them.
#
#   cargo build --release && benches/fs.sh [DIR]
#
# DIR (a temporary directory by default) should lie on the file system that matters. Each work is done three times in
# turn, bare and mounted; the medians are compared. COLD=1 adds figures with cold caches: needs root, and drops those of the
# whole machine. FILES=2000 makes it shorter; BT names the program; CARGO=1 adds cargo builds, with --offline.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
BT=${BT:-$here/target/release/backtrail}
FILES=${FILES:-10000}
base=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/backtrail-bench-XXXXXX")
export BACKTRAIL_DATA="$base/data" BACKTRAIL_RUNTIME="$base/run" BT FILES base
export GIT_CONFIG_NOSYSTEM=1 HOME="$base"
trap 'cd /; (cd "$base/project" 2>/dev/null && "$BT" stop --force >/dev/null 2>&1) || true; rm -rf "$base"' EXIT
mkdir "$base/project"

cat > "$base/make.py" <<'PY'
"""A tree as programs have it: many small files, a few large ones."""
import os, random, sys
root, count = sys.argv[1], int(sys.argv[2])
dice = random.Random(7)
words = [bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz_", k=dice.randint(2, 11))) for _ in range(4000)]
for n in range(count):
    d = os.path.join(root, "src", f"m{n % 97}", f"p{n % 7}")
    os.makedirs(d, exist_ok=True)
    lines = int(dice.paretovariate(1.3) * 60)
    with open(os.path.join(d, f"f{n}.c"), "wb") as f:
        for _ in range(min(lines, 3000)):
            f.write(b" ".join(dice.choices(words, k=8)) + b"\n")
with open(os.path.join(root, "large.bin"), "wb") as f:
    for _ in range(128):
        f.write(dice.randbytes(1 << 20))
PY

cat > "$base/work.py" <<'PY'
"""Does each work in the directory given and prints its seconds as JSON."""
import json, os, random, shutil, subprocess, sys, time
root, out = sys.argv[1], sys.argv[2]
base = os.environ["base"]
os.chdir(root)
times = {}

def drop():
    if not os.environ.get("COLD"):
        return False
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        return True
    except OSError:
        return False

def timed(name, work):
    start = time.perf_counter()
    work()
    times[name] = time.perf_counter() - start

def sh(text):
    subprocess.run(["sh", "-c", text], check=True, stdout=subprocess.DEVNULL)

def cat():
    for d, _, names in os.walk("src"):
        for n in names:
            with open(os.path.join(d, n), "rb") as f:
                f.read()

def twice(name, work):
    work()
    timed(name, work)

def sequential_write():
    with open("written.bin", "wb") as f:
        piece = bytes(1 << 20)
        for _ in range(128):
            f.write(piece)
        f.flush()
        os.fsync(f.fileno())

def random_read():
    dice = random.Random(1)
    fd = os.open("large.bin", os.O_RDONLY)
    for _ in range(20000):
        os.pread(fd, 4096, dice.randrange(0, 127 << 20))
    os.close(fd)

def sequential_read():
    with open("large.bin", "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass

if os.path.isdir(".git"):
    twice("git status warm", lambda: sh("git status --porcelain | wc -l"))
    if drop():
        timed("git status cold", lambda: sh("git status --porcelain | wc -l"))
if shutil.which("rg"):
    twice("rg warm", lambda: sh("rg -c zzzzqqq src || true"))
    if drop():
        timed("rg cold", lambda: sh("rg -c zzzzqqq src || true"))
twice("cat all", cat)
twice("find", lambda: sh("find . -type f -size +1 | wc -l"))
twice("read 128 MB", sequential_read)
twice("20,000 random reads", random_read)
timed("write 128 MB", sequential_write)
timed("untar", lambda: sh(f"mkdir un && tar -xf {base}/tree.tar -C un"))
timed("rm -rf", lambda: sh("rm -rf un written.bin"))
if os.environ.get("CARGO"):
    sh("rm -rf built && cargo init -q --name built --vcs none built")
    timed("cargo build", lambda: sh("cd built && cargo build -q --offline"))
    sh("echo '// x' >> built/src/main.rs")
    timed("cargo, changed", lambda: sh("cd built && cargo build -q --offline"))
    sh("rm -rf built")
with open(out, "w") as f:
    json.dump(times, f)
PY

cat > "$base/table.py" <<'PY'
import glob, json, os, statistics
base = os.environ["base"]
def medians(kind):
    runs = [json.load(open(p)) for p in sorted(glob.glob(f"{base}/{kind}-*.json"))]
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}
kinds = [k for k in ("live", "watch", "past") if glob.glob(f"{base}/{k}-*.json")]
bare = medians("bare")
rest = {k: medians(k) for k in kinds}
print(f"{'':22}{'bare, ms':>10}" + "".join(f"{k:>9}" for k in kinds))
for name, seconds in bare.items():
    ratios = "".join(f"{rest[k][name] / seconds:9.2f}" if name in rest[k] else f"{'-':>9}" for k in kinds)
    print(f"{name:22}{seconds * 1000:10.1f}{ratios}")
PY

cat > "$base/past.py" <<'PY'
"""The part of the work that only reads, in a past state."""
import os, sys
text = open(os.path.join(os.environ["base"], "work.py")).read()
keep = [l for l in text.splitlines() if not l.startswith(("timed(\"write", "timed(\"untar", "timed(\"rm"))]
exec("\n".join(keep).replace('os.environ.get("CARGO")', "False"))
PY

python3 "$base/make.py" "$base/project" "$FILES"
cd "$base/project"
if command -v git >/dev/null; then
    git init -q . && git -c user.email=b@example.org -c user.name=b add src &&
        git -c user.email=b@example.org -c user.name=b commit -qm tree
fi
tar -cf "$base/tree.tar" -C "$base/project/src" $(cd src && ls | head -n 30)
"$BT" init >/dev/null
# One session holds the engine, so that every run finds it warm.
"$BT" run -- sh -c 'until test -e "$base/over"; do sleep 0.2; done' 2>/dev/null &
until "$BT" status 2>/dev/null | grep -q running; do sleep 0.2; done
for n in 1 2 3; do
    python3 "$base/work.py" "$base/project" "$base/bare-$n.json"
    "$BT" run -- python3 "$base/work.py" "$base/project" "$base/live-$n.json"
    python3 "$base/past.py" "$("$BT" at @)" "$base/past-$n.json"
done
touch "$base/over"
echo "$FILES files; ratios to the bare directory (live: through the mount; past: a past state, where it applies)"
python3 "$base/table.py"

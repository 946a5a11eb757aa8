#!/usr/bin/env bash
# Has libFuzzer make up inputs for what reads foreign bytes: fuzz/run.sh [SECONDS] [TARGET...]
#
# Without arguments a minute for each target; as many at once as there are processors. Needs cargo-fuzz
# (cargo install cargo-fuzz --locked) and a C++ compiler. What a run finds worth trying again is kept in
# fuzz/corpus, and the next run begins with it. An input that fails is kept in fuzz/artifacts: mend what it
# shows, and make it a test.
set -euo pipefail
cd "$(dirname "$0")"

# A stable toolchain has all that is needed, once it is told so. Nothing here is unsafe code, so that the
# address sanitizer finds nothing more and costs half of the speed.
export RUSTC_BOOTSTRAP=1
# Large buffers come from the system, which clears only what of them is used.
export MALLOC_MMAP_THRESHOLD_=100000

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)

cargo fuzz build --sanitizer none

# fuzz SECONDS TARGET: says in one line what was done, or all that is known of what failed.
fuzz() {
    local seconds=$1 target=$2 log
    log=$(mktemp)
    mkdir -p "corpus/$target" "artifacts/$target"
    if cargo fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 >"$log" 2>&1; then
        printf '%s: %s; %s\n' "$target" "$(grep -a -o 'cov: [0-9]*' "$log" | tail -n 1)" "$(tail -n 1 "$log")"
    else
        printf '%s FAILED\n' "$target"
        tail -n 100 "$log"
        return 1
    fi
    rm "$log"
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c "fuzz $seconds {}"

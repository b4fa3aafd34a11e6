#!/bin/sh
# Installs what is missing: a virtual environment, the package, and (as root, on Debian) tools.
#   scripts/setup.sh demo    what the demo needs: package, Unicorn, a cross compiler
#   scripts/setup.sh tasks   the same, and what writes a task's ONNX file (torch)
#   scripts/setup.sh ocr     the same, the trained files of rapidocr-onnxruntime and a font
#   scripts/setup.sh test    everything that a test can use
# Says what it could not install; nothing is fetched twice.
set -eu
cd "$(dirname "$0")/.."
what=${1:-demo}
python=${PYTHON:-python3}
venv=${VENV:-.venv}

missing() { ! command -v "$1" >/dev/null 2>&1; }

# install COMMAND PACKAGE...: from apt when COMMAND is missing and we may.
install() {
    command=$1
    shift
    missing "$command" || return 0
    if missing apt-get || [ "$(id -u)" != 0 ]; then
        echo "setup: no $command; install $* (needs root)" >&2
        return 0
    fi
    if [ -z "${updated:-}" ]; then
        apt-get update -q >/dev/null || echo "setup: apt-get update failed" >&2
        updated=1
    fi
    echo "setup: apt-get install $*" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
        echo "setup: apt-get could not install $*" >&2
}

# Chinese and Latin for rendered lines: WenQuanYi Micro Hei (Apache-2.0, or GPL-3 with the font exception).
install_font() {
    [ -e /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ] || install no-such-command fonts-wqy-microhei
}

install "$python" python3
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: needs Python 3.11 or newer as $python (set PYTHON=...)" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install no-such-command python3-venv
fi

install arm-none-eabi-gcc gcc-arm-none-eabi libnewlib-arm-none-eabi
case $what in
demo) extras=emulate,validate ;;
tasks) extras=emulate,validate,search ;;
ocr)
    extras=emulate,validate,ocr
    install_font
    ;;
test)
    install_font
    extras=emulate,validate,plot,search,dev,ocr
    install cc gcc libc6-dev
    install qemu-system-arm qemu-system-arm
    install cmake cmake
    install clang-format clang-format
    install chromium chromium
    install llvm-mca-19 llvm-19
    [ -d /usr/lib/postgresql ] || install no-such-command postgresql
    ;;
*)
    echo "setup: demo, tasks, ocr or test, not $what" >&2
    exit 2
    ;;
esac
if missing arm-none-eabi-gcc; then
    echo "setup: no arm-none-eabi-gcc; using the ziglang wheel" >&2
    extras=$extras,zig
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
stamp=$venv/.mcuformer-$extras
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    echo "setup: pip install -e .[$extras]" >&2
    "$venv/bin/python" -m pip install -q --disable-pip-version-check \
        -c constraints.txt -e ".[$extras]"
    touch "$stamp"
fi

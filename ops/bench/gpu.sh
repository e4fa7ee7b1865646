#!/usr/bin/env bash
# What a GPU does, in one go and in under 8 minutes: ops/bench/gpu.sh OUTPUT.json
#   DEVICE=cpu        rehearses without a GPU: fewer clips, one round
#   PYTHON=…          with faster-whisper and asrq's packages; default: .venv/bin/python, else python3
#   MODEL=… CLIPS=…   a model by name or folder (tiny.en); audio files
# For a machine that reaches no package registry, here:  ops/bench/gpu.sh pack FILE.tar.xz   (at most 60 MiB)
# and there, in a checkout:                              BROUGHT=FILE.tar.xz ops/bench/gpu.sh OUTPUT.json
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
device=${DEVICE:-cuda}
python=${PYTHON:-$here/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONPATH=$here/jobs:$here/worker TMPDIR=$scratch

# Packages that a machine with PyTorch and transformers lacks, for the Python of that machine.
packages=(ctranslate2 faster-whisper pydantic pydantic-core pydantic-settings python-dotenv annotated-types
  typing-inspection langcodes redis)

model_folder() {
  "$python" -c 'import sys; from asrq_jobs import configuration; from asrq_worker.backends.whisper import models
print(models.resolve(sys.argv[1], model_dir=configuration.load().model_dir).path)' "${MODEL:-tiny.en}"
}

clips() { # <folder>: the clips as WAV
  local default=("$here"/../shared/speech/en/*.flac)
  [ -e "${default[0]}" ] || default=("$here"/tests/data/hello-en.flac)
  mkdir -p "$1"
  # shellcheck disable=SC2086  # CLIPS is a list
  "$python" - "$1" ${CLIPS:-"${default[@]}"} <<'END'
import sys, wave
from pathlib import Path
from faster_whisper import decode_audio
for name in sys.argv[2:]:
    samples = decode_audio(name)
    with wave.open(str(Path(sys.argv[1], Path(name).stem + ".wav")), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
END
}

if [ "${1:-}" = pack ]; then
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$scratch/wheels" \
    --python-version "${PYTHON_VERSION:-3.12}" --implementation cp --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 "${packages[@]}"
  for wheel in "$scratch"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$scratch/brought/site"; done
  "$python" "$here/ops/bench/int8.py" "$(model_folder)" "$scratch/brought/model"
  clips "$scratch/brought/clips"
  tar -C "$scratch" -c brought | xz -9 >"$2"
  size=$(stat -c %s "$2")
  echo "$2: $((size >> 20)) MiB"
  ((size <= 60 << 20)) || { echo "more than 60 MiB: name fewer CLIPS" >&2; exit 1; }
  exit
fi

if [ -n "${BROUGHT:-}" ]; then
  tar -C "$scratch" -xJf "$BROUGHT"
  export PYTHONPATH=$PYTHONPATH:$scratch/brought/site
  model=$scratch/brought/model clips=$scratch/brought/clips
  # faster-whisper imports PyAV, with which it would read files; here it gets arrays.
  "$python" -c 'import av' 2>/dev/null || touch "$scratch/brought/site/av.py"
else
  model=$(model_folder) clips=$scratch/clips
  clips "$clips"
fi

if [ "$device" = cpu ]; then
  options=(--device cpu --compute-type int8 --sizes 1 4 --most 3 --repeat 1 --rounds 1)
else
  options=(--device "$device")
  # CTranslate2 looks for cuBLAS of CUDA 12; where PyTorch brings that of CUDA 13 only, it is tried under the other name.
  cublas=$("$python" -c 'import glob, sysconfig
print(*sorted(glob.glob(sysconfig.get_path("purelib") + "/nvidia/**/libcublas.so.1[23]", recursive=True))[:1])')
  if [ -n "$cublas" ]; then
    mkdir "$scratch/lib"
    ln -s "$cublas" "$scratch/lib/libcublas.so.12"
    export LD_LIBRARY_PATH=$scratch/lib:$(dirname "$cublas")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  fi
fi
timeout 480 "$python" "$here/ops/bench/gpu.py" --model "$model" --clips "$clips" "${options[@]}" --output "$1"

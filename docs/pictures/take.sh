#!/usr/bin/env bash
# Takes the README's pictures from a running `make run`, in headless Chromium.
# Usage: docs/pictures/take.sh [STATUS_URL [PREFECT_URL]]
set -euo pipefail
status=${1:-http://127.0.0.1:8787} prefect=${2:-http://127.0.0.1:4200}
here=$(cd "$(dirname "$0")" && pwd)
command -v chromium >/dev/null || { echo "chromium is not installed (Debian: apt install chromium)" >&2; exit 1; }
take() { # URL FILE WIDTH HEIGHT OPTION
  local profile
  profile=$(mktemp -d)
  timeout 120 chromium --headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" --window-size="$3,$4" "$5" \
    --screenshot="$2" "$1" >/dev/null 2>&1 || true
  rm -rf "$profile"
  [ -s "$2" ] || { echo "no picture of $1" >&2; exit 1; }
  echo "$2"
}
take "$status/" "$here/status.png" 1400 1500 --timeout=6000
take "$prefect/runs" "$here/prefect.png" 1400 1100 --virtual-time-budget=25000

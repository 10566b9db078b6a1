# What the stages share. Sourced by each, so that each runs alone too, such as
# `bash .ci/types`; VENV names a virtual environment with the extra `dev`.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-$PWD/.venv}

# What a developer has set for an application of his own must not steer the tests.
for name in $(compgen -e); do
    case $name in
    DATABASE_URL | BUCKET_NAME | STORAGE_EXPIRY_TIME | CHAINLIT_* | APP_* | DEV_AWS_* | AWS_* | \
        PG* | POSTGRES_* | TEST_POSTGRES_* | TEST_MYSQL_* | TEST_MARIADB_* | PYTEST_* | PYTHON* | \
        VIRTUAL_ENV | FORCE_COLOR)
        unset "$name"
        ;;
    esac
done

fail() {
    echo "$*" >&2
    exit 1
}

need_venv() {
    [ -x "$VENV/bin/python" ] ||
        fail "no virtual environment at $VENV; make one, or name one in VENV"
}

# install VENV ARGUMENTS...: with uv where it works, since pip takes a minute.
install() {
    local venv=$1
    shift
    if uv --version >/dev/null 2>&1; then
        uv pip install --quiet --python "$venv/bin/python" --constraint constraints.txt "$@"
    else
        "$venv/bin/python" -m pip install --quiet --constraint constraints.txt "$@"
    fi
}

# quietly COMMAND...: what it prints is of interest only when it fails.
quietly() {
    local said
    said=$("$@" 2>&1) || fail "$*: $said"
}

# A folder that goes when the stage ends.
scratch() {
    SCRATCH=$(mktemp -d)
    # PostgreSQL runs as another user below it.
    chmod 711 "$SCRATCH"
    trap 'rm -rf "$SCRATCH"' EXIT
}

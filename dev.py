#!/usr/bin/env python3
"""Set up an environment and run something in it: ``python3 dev.py demo`` or ``python3 dev.py test``.

Needs nothing but Python 3.11 or newer. The first run makes a virtual environment in ``.venv`` with the versions in
``constraints.txt``; later runs use it as it is, until those files change. The project itself is installed editable.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (this file is what an older Python would be started with)
    found = "{}.{}".format(*sys.version_info[:2])
    sys.exit(f"EmbedSeg for napari needs Python 3.11 or newer, not {found} ({sys.executable}); start dev.py with that.")

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ROOT / "constraints.txt"
ENVIRONMENT = ROOT / ".venv"
SYSTEM_PACKAGES = (
    "xvfb",
    "libgl1",
    "libegl1",
    "libgl1-mesa-dri",
    "libglib2.0-0|libglib2.0-0t64",
    "libfontconfig1",
    "libdbus-1-3",
    "libxkbcommon-x11-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-randr0",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxcb-xkb1",
)
"""Debian packages that pip cannot bring: Qt's platform libraries, OpenGL in software and a virtual screen for the tests
of the viewer. Behind a bar: the name in newer releases, where the first one still installs it."""
WITH_VIEWER = ("test", "system")
"""Commands that need them."""
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton")
WITH_CUDA = "EMBEDSEG_CUDA"

COMMANDS: dict[str, tuple[str, str | None, list[list[str]]]] = {
    "demo": (
        "go the whole way on generated images: train, segment, score, picture",
        None,
        [["embedseg_napari", "demo"]],
    ),
    "test": ("run the tests", "test", [["pytest", "--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal"]]),
    "system": ("install the system packages that napari's tests need, as root, and nothing else", None, []),
    "lint": ("check style and formatting", "lint", [["ruff", "check"], ["ruff", "format", "--check"]]),
    "types": ("check types", "lint", [["mypy"]]),
    "docs": (
        "build the documentation in docs/_build/html",
        "docs",
        [["sphinx", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"]],
    ),
    "package": (
        "build wheel and source archive in dist, and check them",
        "package",
        [
            ["build", "--no-isolation"],
            ["twine", "check", "--strict", "dist/*"],
            ["check_wheel_contents", "dist"],
        ],
    ),
}
"""Per command: help, dependency group, and the modules to run one after the other."""
ONE_THREAD_EACH = ("test",)
"""Commands that start a process per core, each of which would take as many threads again: PyTorch's, and Numba's, which
begin with napari's first Labels layer and give PyTorch as many."""


def say(text: str) -> None:
    """Write a line at once."""
    print(text, flush=True)


def main() -> int:
    """Set up what the command needs, run it, and return its exit status."""
    parser = argparse.ArgumentParser(description="Set up an environment and run something in it.")
    parser.add_argument("--here", action="store_true", help="use the Python that runs this, not .venv")
    parser.add_argument("command", choices=COMMANDS, help="; ".join(f"{n}: {c[0]}" for n, c in COMMANDS.items()))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed on to the command")
    options = parser.parse_args()
    _, group, modules = COMMANDS[options.command]
    if options.command in WITH_VIEWER:
        missing = [names.split("|") for names in SYSTEM_PACKAGES if not any(map(is_installed, names.split("|")))]
        install_system_packages([names[0] for names in missing])
    if not modules:
        return 0
    python = Path(sys.executable) if options.here else make_environment()
    install(python, group)
    if options.command in ONE_THREAD_EACH:
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    status = 0
    for module in modules:
        status = run([str(python), "-m", *module, *options.arguments]) or status
    return status


def run(command: list[str]) -> int:
    """Run a command in the project's folder; Ctrl-C goes to it alone, so that it can end in order."""
    process = subprocess.Popen(command, cwd=ROOT)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def make_environment() -> Path:
    """Return the Python of ``.venv``, making it if it is missing."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists():
        works = subprocess.run(
            [str(python), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"], check=False
        )
        if works.returncode == 0:
            return python
        sys.exit(
            f"{ENVIRONMENT} is there but has no working pip, or a Python older than 3.11; remove it and try again."
        )
    if importlib.util.find_spec("ensurepip") is None:
        # Debian and Ubuntu keep this part of Python in a package of its own.
        install_system_packages([f"python3.{sys.version_info.minor}-venv"])
    say(f"Making a virtual environment in {ENVIRONMENT} with Python {sys.version.split()[0]}.")
    made = subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=False)
    if made.returncode != 0:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        sys.exit("The virtual environment could not be made; Python's own message stands above.")
    return python


def is_installed(package: str) -> bool:
    """Whether a Debian package is installed; true where there is no dpkg to ask."""
    if shutil.which("dpkg-query") is None:
        return True
    asked = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, check=False)
    return asked.stdout.endswith("ok installed")


def install_system_packages(packages: list[str]) -> None:
    """Install Debian packages, or say which are missing."""
    if not packages:
        return
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        sys.exit(
            f"These system packages are missing: {names}; install them (or what they are called here) and try again."
        )
    if os.geteuid() != 0:
        sys.exit(f"These system packages are missing: {names}; install them with: sudo apt-get install {names}")
    say(f"Installing system packages: {names}.")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-q", *command],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            say(done.stdout[-2000:])
            sys.exit(f"apt-get could not install {names}; its message stands above.")


def install(python: Path, group: str | None) -> None:
    """Bring an environment up to date with the project and one of its dependency groups."""
    stamp = Path(subprocess.check_output([str(python), "-c", "import sys; print(sys.prefix)"], text=True).strip())
    stamp /= "embedseg-dev.json"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    done = json.loads(stamp.read_text()) if stamp.exists() else {}
    if done.get("files") != wanted or done.get("root") != str(ROOT):
        done = {"files": wanted, "root": str(ROOT), "groups": []}
    needed = [part for part in ("project", group) if part and part not in done["groups"]]
    if not needed:
        return
    started = time.monotonic()
    if "project" in needed:
        say("Bringing pip to the tested version.")
        pip(python, "pip")
        install_torch(python)
        say("Installing the project and what it needs.")
        pip(python, "--editable", ".", "--build-constraint", str(CONSTRAINTS))
    if group in needed:
        say(f"Installing what '{group}' needs.")
        pip(python, "--group", str(group))
    stamp.write_text(json.dumps({**done, "groups": [*done["groups"], *needed]}))
    say(f"Everything is installed ({time.monotonic() - started:.0f} s).")


def install_torch(python: Path) -> None:
    """Install PyTorch: by default, on Linux, the build for processors, without gigabytes of CUDA."""
    present = subprocess.run(
        [str(python), "-c", "import torch; print(torch.__version__)"], capture_output=True, check=False
    )
    pinned = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    if present.returncode == 0 and present.stdout.decode().strip().split("+")[0] == pinned.partition("==")[2]:
        return
    say(f"Installing PyTorch ({pinned}).")
    if os.environ.get(WITH_CUDA) or not would_bring_cuda(python):
        pip(python, "torch")
        return
    say(f"  The build on the default index brings gigabytes of CUDA; taking the one from {CPU_INDEX}.")
    say(f"  (For the CUDA build, set {WITH_CUDA}=1 and run this again in a new .venv.)")
    pip(
        python,
        "torch",
        "--no-deps",
        "--index-url",
        CPU_INDEX,
        failure=f"PyTorch for processors could not be fetched from {CPU_INDEX}; check the network, install {pinned} "
        f"into {python.parent.parent} yourself, or set {WITH_CUDA}=1 to take the CUDA build from the default index.",
    )


def would_bring_cuda(python: Path) -> bool:
    """Ask pip, without installing anything, whether PyTorch from the default index comes with CUDA."""
    command = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--quiet", "--report", "-", "torch"]
    asked = subprocess.run([*command, "-c", str(CONSTRAINTS)], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        say(asked.stderr[-2000:])
        sys.exit("pip cannot find PyTorch; check the network (its message stands above).")
    names = [item["metadata"]["name"] for item in json.loads(asked.stdout)["install"]]
    return any(name.startswith(CUDA_PREFIXES) for name in names)


def pip(python: Path, *arguments: str, failure: str | None = None) -> None:
    """Install with pip and the tested versions, showing only what is fetched and installed."""
    command = [str(python), "-m", "pip", "install", "--progress-bar", "off", *arguments, "-c", str(CONSTRAINTS)]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    lines = []
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.lstrip().startswith(("Downloading", "Installing collected")):
                say(f"  {line.strip()[:110]}")
    if process.returncode != 0:
        say("\n".join(lines[-15:]))
        sys.exit(failure or "pip failed; its message stands above. Check the network and try again.")


if __name__ == "__main__":
    sys.exit(main())

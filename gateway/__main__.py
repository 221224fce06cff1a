"""python -m gateway: the gateway beside a Triton that runs elsewhere, and commands around it."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.access import key_command
from gateway.listeners import open_listeners
from gateway.server import create_gateway, listen_to_signals, open_operations, serve
from gateway.settings import VARIABLES, Settings, SettingsError, Variable
from gateway.telemetry.logs import log_to_stderr
from gateway.usage import command as usage_command

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "keys": key_command.main,
    "usage": usage_command.main,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Does what the first word says, by default serves."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        COMMANDS[words[0]](words[1:])
    else:
        serve_until_interrupted(words)


def serve_until_interrupted(arguments: Sequence[str]) -> None:
    """Serves; what cannot start says why in one sentence."""
    chosen = vars(_parser().parse_args(arguments))
    try:
        settings = Settings.from_environ(
            **{name: value for name, value in chosen.items() if value is not None}
        )
        listeners = open_listeners(settings.host, settings.port)
        operations = open_operations(settings)
        log_to_stderr(settings)
        app = create_gateway(settings)
    except (SettingsError, OSError) as error:
        sys.exit(f"triton-embeddings-gateway: {error}")
    with suppress(KeyboardInterrupt):  # before the server listens to signals itself
        listen_to_signals()
        serve(app, settings, listeners, operations)


def _parser() -> argparse.ArgumentParser:
    variables = "\n".join(f"  {_describe(variable)}" for variable in VARIABLES.values())
    parser = argparse.ArgumentParser(
        prog="triton-embeddings-gateway",
        description="The Mixedbread embeddings API in front of NVIDIA Triton. As first word,"
        f" {' or '.join(COMMANDS)} does something else: see its --help.",
        epilog=f"environment, with defaults; a flag wins over its variable:\n{variables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address or host name to listen on")
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one")
    parser.add_argument("--triton-address", help="gRPC target of Triton")
    return parser


def _describe(variable: Variable) -> str:
    choices = f" ({' | '.join(variable.choices)})" if variable.choices else ""
    return f"{variable.name}{choices}, default {variable.default or 'none'}\n      {variable.why}"


if __name__ == "__main__":
    main()

"""Engines of TensorRT, built before anybody waits for them: where they will run, for its GPUs."""

from collections.abc import Callable, Iterator
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.errors import ConversionFailed, WrongOption
from export.names import folder_of
from export.steps.inference import CANARY, Canary, CannotUseGpu, warm_up
from export.steps.inference.device import count_devices
from export.steps.inference.opening import open_tensorrt
from export.steps.integrity import LISTING, CorruptedFile, check_step, edition_of

Report = Callable[[str], None]
Settings = dict[str, str]


def build_engines(repository: Path, served_name: str | None, report: Report) -> None:
    """For each model of the target tensorrt, or the one of a name, on each GPU.

    Raises: WrongOption if there is no such model; ConversionFailed; OSError
    """
    models = list(find_encoders(repository, served_name))
    if not models:
        wanted = f" named {served_name}" if served_name else ""
        raise WrongOption(f"{repository} holds no model{wanted} that was exported for tensorrt")
    for folder, settings in models:
        try:
            _build(folder, settings, report)
        except (CannotUseGpu, CorruptedFile) as error:
            raise ConversionFailed(str(error)) from error


def _build(folder: Path, settings: Settings, report: Report) -> None:
    version = folder / "1"
    check_step(version, "encoder")
    edition = edition_of((version / LISTING).read_bytes())
    text = max(Canary(version / CANARY).rows, key=len)
    for number in range(count_devices()):
        report(f"Building {folder.name} for GPU {number}: minutes, if it is not kept yet")
        encoder = open_tensorrt(version, settings, number, edition)
        warm_up(encoder, text, int(settings["micro_batch_tokens"]))
        report(f"{encoder.device}: {encoder.engines}")


def find_encoders(
    repository: Path, served_name: str | None = None
) -> Iterator[tuple[Path, Settings]]:
    """Folders of encoders of the target tensorrt, and the parameters of their configurations."""
    stem = f"{folder_of(served_name)}@*" if served_name else "*"
    for path in sorted(repository.glob(f"{stem}-encoder/config.pbtxt")):
        config = text_format.Parse(path.read_text(encoding="utf-8"), triton.ModelConfig())
        settings = {key: value.string_value for key, value in config.parameters.items()}
        if settings.get("target") == "tensorrt":
            yield path.parent, settings

"""The checkpoint's tokenizer → the one tokenizer.json that is served."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from export.errors import UnsupportedModel
from export.writing import writing


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's own fast tokenizer.

    Raises: UnsupportedModel if there is none, or if it gives no token for an empty text.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedModel(f"{folder}: its tokenizer cannot be read ({error})") from error
    if not tokenizer.is_fast:
        raise UnsupportedModel("tokenizer_config.json: the tokenizer has no fast form")
    if not tokenizer("")["input_ids"]:
        raise UnsupportedModel(
            "tokenizer.json: an empty text gives no token; the post-processor must add a special "
            "token, or such a text has no embedding"
        )
    return tokenizer


def check_length(tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Raises: UnsupportedModel if a text at the limit would be its special tokens alone."""
    specials = len(tokenizer("")["input_ids"])
    if max_length <= specials:
        raise UnsupportedModel(
            f"{max_length} tokens leave no room for a text beside {specials} special tokens: "
            f"give --max-length, at least {specials + 1}"
        )


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write tokenizer.json without padding and truncation, which are the step's business.

    Raises: OSError.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    with writing(path):
        backend.save(str(path))

"""`python -m tests.export.guard_table`: every known key, who reads it, and what is made of it."""

from collections import Counter, defaultdict

from export.guard import config_keys, known_keys
from tests.export import library_keys

TABLES = {
    "modules.json": known_keys.MODULES,
    "config_sentence_transformers.json": known_keys.SENTENCE_TRANSFORMERS,
    "sentence_bert_config.json": known_keys.TRANSFORMER,
    "sentence_bert_config.json model_kwargs": known_keys.MODEL_KWARGS,
    "sentence_bert_config.json processor_kwargs": known_keys.PROCESSOR_KWARGS,
    "sentence_bert_config.json processing_kwargs": known_keys.PROCESSING,
    "sentence_bert_config.json processing_kwargs.text": known_keys.TEXT_PROCESSING,
    **{f"{name}/config.json": table for name, table in known_keys.MODULE_CONFIGS.items()},
    "tokenizer_config.json": known_keys.TOKENIZER,
    "config.json": config_keys.CONFIG,
}


def rows() -> list[tuple[str, str, str, str, str]]:
    """File, key, read by, verdict, reason."""
    readers = defaultdict(list)
    for read in library_keys.collect():
        readers[read.file, read.key].append(read.place)
    listed: list[tuple[str, str, str, str, str]] = [
        (file, key, (readers[file, key] or ["-"])[0], rule.verdict, rule.reason)
        for file, table in TABLES.items()
        for key, rule in table.items()
    ]
    for name in (*known_keys.PROCESSOR_FILES, known_keys.ADAPTER_FILE):
        reason = known_keys.ADAPTER if name == known_keys.ADAPTER_FILE else known_keys.PROCESSOR
        listed.append((name, "*", "transformers", "refused", reason))
    for model_type, keys in config_keys.OLD_KEYS.items():
        for key, old in keys.items():
            like = f"as {old.key}" if old.key else f"one of {', '.join(map(repr, old.values))}"
            reason = f"of {model_type}, unless {like if old.values or old.key else 'null'}"
            listed.append(("config.json", key, "-", "refused", reason))
    for key, rule in config_keys.OLD_SETTINGS.items():
        listed.append(("config.json", key, "-", rule.verdict, rule.reason))
    return listed


def main() -> None:
    listed = rows()
    widths = [max(len(row[column]) for row in listed) for column in range(4)]
    for row in listed:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)))
    verdicts = Counter(row[3] for row in listed)
    print(f"\n{len(listed)} keys: " + ", ".join(f"{verdicts[name]} {name}" for name in verdicts))
    print("Other keys of a config.json are honoured where the architecture's own code reads them.")


if __name__ == "__main__":
    main()

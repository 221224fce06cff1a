"""Reading checkpoints with sentence-transformers: what is served, and what is refused, of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from export.checkpoint import DEFAULT_CHECKPOINT, ModelSpec, resolve
from export.errors import CheckpointNotFound, UnsupportedModel
from export.reference import load
from export.reference.description import UNLIMITED_TOKENS
from export.translations import translated
from tests.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "bert", "bert")


def change(path: Path, **changes: Any) -> None:
    """Keys of a JSON file; None removes one."""
    content = (json.loads(path.read_text()) if path.is_file() else {}) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_the_default_checkpoint_describes_itself() -> None:
    expected = ModelSpec(
        architecture="bert",
        dimensions=384,
        max_length=256,
        pooling="mean",
        similarity="cosine",
        normalized=True,
    )

    assert expected == load(resolve(DEFAULT_CHECKPOINT).folder).spec


def test_options_win_over_the_checkpoint(bert: Path) -> None:
    spec = load(bert, pooling="weighted_mean", max_length=32).spec

    assert ("weightedmean", 32) == (spec.pooling, spec.max_length)


def test_without_a_list_of_modules_the_pooling_must_be_given(bert: Path) -> None:
    theirs = shutil.copytree(bert, bert.parent / "theirs")
    change(theirs / "1_Pooling" / "config.json", pooling_mode="cls")
    (bert / "modules.json").unlink()

    with pytest.raises(UnsupportedModel, match=r"give --pooling \{mean,cls,last_token,max,"):
        load(bert)

    reference = load(bert, pooling="cls")
    expected = SentenceTransformer(str(theirs)).encode("why?")
    np.testing.assert_allclose(reference.embed(np.array(reference.ids("why?"))), expected, 1e-5)


def test_a_chat_template_makes_no_conversation_of_a_text(bert: Path) -> None:
    (bert / "modules.json").unlink()
    plain = load(bert, pooling="mean").ids("why?")
    (bert / "chat_template.jinja").write_text("{{ messages[0].content }} said the user")

    assert plain == load(bert, pooling="mean").ids("why?")


@pytest.mark.parametrize(
    ("architecture", "files", "expected"),
    [
        ("bert", {}, 64),
        ("bert", {"sentence_bert_config": {"max_seq_length": 500}}, 80),
        ("bert", {"sentence_bert_config": {"max_seq_length": None}}, 64),
        ("bert", {"sentence_bert_config": {"max_seq_length": None}, "tokenizer_config": {}}, 80),
        ("roberta", {"sentence_bert_config": {"max_seq_length": 500}}, 79),
        ("mpnet", {"sentence_bert_config": {"max_seq_length": 500}}, 78),
        ("jina-v2", {"sentence_bert_config": {"max_seq_length": 500}}, 500),
        ("qwen3", {"sentence_bert_config": {"max_seq_length": 500}}, 500),
        ("t5", {"sentence_bert_config": {"max_seq_length": 500}}, 500),
        ("static", {}, UNLIMITED_TOKENS),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_texts_are_as_long_as_is_stated_and_positions_reach(
    architecture: str, files: dict[str, dict[str, Any]], expected: int, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / architecture, architecture)
    for name, changes in files.items():
        limit = {"model_max_length": None} if name == "tokenizer_config" else {}
        change(folder / f"{name}.json", **limit, **changes)

    with translated(folder) as (read, _):
        assert expected == load(read).spec.max_length


def test_angles_that_grow_with_a_text_need_a_length_below_their_growth(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "qwen3", "qwen3")
    change(folder / "sentence_bert_config.json", max_seq_length=500)
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    change(folder / "config.json", rope_parameters=rope)

    for asked in (None, 81):
        with pytest.raises(UnsupportedModel, match=r"above 80 tokens, .* --max-length, at m"):
            load(folder, max_length=asked)

    assert 80 == load(folder, max_length=80).spec.max_length


def test_a_length_above_the_positions_is_refused(bert: Path) -> None:
    with pytest.raises(UnsupportedModel, match="80 positions, --max-length 81 is more"):
        load(bert, max_length=81)


def test_a_static_embedding_of_no_token_is_zero_as_theirs(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "static", "static")
    reference = load(folder)

    ids = reference.tokenizer().encode("").ids

    assert ids == reference.ids("")
    assert 1 == len(ids)
    assert not reference.embed(np.array(ids)).any()
    assert not SentenceTransformer(str(folder)).encode("").any()


def cut_in_tokenizer_json(folder: Path, direction: str) -> Path:
    """A static embedding of texts of 6 tokens."""
    make_checkpoint(folder, "static")
    cut = {"direction": direction, "max_length": 6, "strategy": "LongestFirst", "stride": 0}
    change(folder / "0_StaticEmbedding" / "tokenizer.json", truncation=cut)
    return folder


def test_a_static_embedding_cuts_texts_as_its_tokenizer_does(tmp_path: Path) -> None:
    folder = cut_in_tokenizer_json(tmp_path / "static", "Right")
    reference = load(folder)

    ids = reference.ids("one two three " * 9)

    assert 7 == len(ids) == reference.spec.max_length
    expected = SentenceTransformer(str(folder)).encode("one two three " * 9)
    np.testing.assert_allclose(reference.embed(np.array(ids)), expected, 1e-5)
    assert 9 == len(load(folder, max_length=9).ids("one two three " * 9))


def test_a_static_embedding_that_cuts_at_the_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json: truncation at the left"):
        load(cut_in_tokenizer_json(tmp_path / "static", "Left"))


def test_a_static_embedding_without_rows_for_its_tokens_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "static", "static")
    place = folder / "0_StaticEmbedding" / "model.safetensors"
    save_file({"embedding.weight": load_file(place)["embedding.weight"][:100].clone()}, place)

    with pytest.raises(UnsupportedModel, match="and the model has weights for 100 tokens"):
        load(folder)


def test_a_pooling_for_a_static_embedding_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "static", "static")

    with pytest.raises(UnsupportedModel, match="takes the mean, and --pooling cls cannot change"):
        load(folder, pooling="cls")


def test_prompts_and_similarity_are_kept(tmp_path: Path) -> None:
    spec = load(make_checkpoint(tmp_path / "default-prompt", "default-prompt")).spec

    assert (("query", "query: "),) == spec.prompts
    assert ("query", "dot", False) == (spec.default_prompt_name, spec.similarity, spec.normalized)


@pytest.mark.parametrize(("architecture", "kept"), [("bge", False), ("lower", True)])
def test_lower_case_is_put_first_where_what_follows_does_not_lower(
    architecture: str, kept: bool, tmp_path: Path
) -> None:
    reference = load(make_checkpoint(tmp_path / architecture, architecture))

    assert kept == ("Lowercase" in str(reference.tokenizer().normalizer))
    assert reference.ids("HELLO İSTANBUL") == reference.tokenizer().encode("HELLO İSTANBUL").ids


def test_pickles_are_read_as_tensors_alone(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "bge-m3", "bge-m3")
    assert "pytorch_model.bin" == load(folder).spec.weights

    torch.save({"embeddings": Path("/bin/true")}, folder / "pytorch_model.bin")

    with pytest.raises(UnsupportedModel, match="Weights only load failed"):
        load(folder)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def test_weights_that_nothing_uses_are_refused_by_name(bert: Path) -> None:
    save_file(weights_of(bert) | {"linear.weight": torch.ones(2, 2)}, bert / "model.safetensors")

    with pytest.raises(UnsupportedModel, match=r"there is nothing that uses linear\.weight"):
        load(bert)


def test_heads_that_no_embedding_goes_through_are_no_matter(bert: Path) -> None:
    kept = {key: value for key, value in weights_of(bert).items() if not key.startswith("pooler.")}
    save_file(kept | {"cls.predictions.bias": torch.ones(2)}, bert / "model.safetensors")

    assert 32 == load(bert).spec.dimensions


@pytest.mark.parametrize("name", ["h.0.attn.c_attn.bias", "my_inv_freq"])
def test_a_name_that_ends_like_a_buffer_is_none(name: str, bert: Path) -> None:
    save_file(weights_of(bert) | {name: torch.ones(2)}, bert / "model.safetensors")

    with pytest.raises(UnsupportedModel, match=f"there is nothing that uses {name}"):
        load(bert)


def test_missing_weights_are_named(bert: Path) -> None:
    kept = {key: value for key, value in weights_of(bert).items() if "layer.1.attention" not in key}
    save_file(kept, bert / "model.safetensors")

    with pytest.raises(UnsupportedModel, match=r"no weights for encoder\.layer\.1.* and \d+ more"):
        load(bert)


def test_a_token_without_weights_is_refused(bert: Path) -> None:
    weights = weights_of(bert)
    (name,) = [key for key in weights if key.endswith("word_embeddings.weight")]
    rows = len(weights[name]) - 1
    save_file(weights | {name: weights[name][:rows].contiguous()}, bert / "model.safetensors")
    change(bert / "config.json", vocab_size=rows)

    with pytest.raises(UnsupportedModel, match=rf"is number {rows}, and the model has weights for"):
        load(bert)


def test_weights_of_other_shapes_are_named(bert: Path) -> None:
    change(bert / "config.json", intermediate_size=96)

    with pytest.raises(
        UnsupportedModel, match=r"intermediate\.dense\.bias is 64 for 96, .*\d more"
    ):
        load(bert)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(number: float, bert: Path) -> None:
    weights = weights_of(bert)
    # Of a token that no text of the verification has.
    weights["embeddings.word_embeddings.weight"][4, 0] = number
    save_file(weights, bert / "model.safetensors")

    with pytest.raises(UnsupportedModel, match=r"not finite: embeddings\.word_embeddings\.weight"):
        load(bert)


def set_modules(folder: Path, *kinds: str, **options: Any) -> None:
    """Modules after each other, those that need options in folders of their own."""
    entries = [("Transformer", ""), *((kind, f"own_{kind}") for kind in kinds)]
    for kind, path in entries[1:]:
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(options.get(kind, {})))
    named = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(entries)
    ]
    (folder / "modules.json").write_text(json.dumps(named))


POOLING = {"word_embedding_dimension": 32}


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (["Normalize", "Pooling"], "a Normalize is not served as module 1"),
        (["Pooling", "Dropout", "WordWeights"], "a WordWeights is not served as module 3"),
        ([], "a Transformer without a Pooling gives no embedding"),
        (["Dense", "Pooling"], "a Dense is not served as module 1"),
        (["Pooling", "Dense"], "the Dense, module 2, reads 'token_embeddings'"),
    ],
    ids=["before the pooling", "of tokens", "alone", "of each token", "of what is not there"],
)
def test_modules_that_are_not_served_are_named(kinds: list[str], sentence: str, bert: Path) -> None:
    dense = {"in_features": 32, "out_features": 32, "module_input_name": "token_embeddings"}
    words = {"vocab": ["one"], "word_weights": {"one": 2.0}, "unknown_word_weight": 1.0}
    set_modules(bert, *kinds, Pooling=POOLING, Dense=dense, WordWeights=words)
    if "Dense" in kinds:
        layer = torch.nn.Linear(32, 32).state_dict()
        tensors = {f"linear.{name}": tensor for name, tensor in layer.items()}
        save_file(tensors, bert / "own_Dense" / "model.safetensors")

    with pytest.raises(UnsupportedModel, match=sentence):
        load(bert)


def test_a_normalize_in_the_middle_is_kept(bert: Path) -> None:
    set_modules(bert, "Pooling", "Normalize", "Dropout", Pooling=POOLING, Dropout={"dropout": 0.1})

    reference = load(bert)

    assert not reference.spec.normalized
    assert 1 == pytest.approx(np.linalg.norm(reference.embed(np.array(reference.ids("why?")))))


@pytest.mark.parametrize(
    "kind", ["custom_st.Transformer", "sentence_transfo2mers.models.Transformer"]
)
def test_a_transformer_of_somebody_else_is_not_taken_for_theirs(kind: str, bert: Path) -> None:
    text = (bert / "modules.json").read_text()
    text = text.replace("sentence_transformers.models.Transformer", kind)
    (bert / "modules.json").write_text(text)

    with pytest.raises(UnsupportedModel, match=f"module class '{kind}'"):
        load(bert)


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        ("config_sentence_transformers", {"model_type": "CrossEncoder"}, "model_type is not"),
        ("sentence_bert_config", {"max_seq_length": 10.5}, "10.5 tokens, .* is no whole number"),
        ("tokenizer_config", {"truncation_side": "left"}, "long texts are cut at the left"),
        (
            "tokenizer",
            {
                "truncation": {
                    "direction": "Left",
                    "max_length": 8,
                    "strategy": "LongestFirst",
                    "stride": 0,
                }
            },
            "long texts are cut at the left",
        ),
    ],
)
def test_what_would_come_out_another_is_refused(
    file: str, changes: dict[str, Any], sentence: str, bert: Path
) -> None:
    change(bert / f"{file}.json", **changes)

    with pytest.raises(UnsupportedModel, match=sentence):
        load(bert)


def test_a_panic_of_a_library_is_one_sentence(
    bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    normalizer = {"type": "Precompiled", "precompiled_charsmap": ""}
    change(bert / "tokenizer.json", normalizer=normalizer)

    with pytest.raises(UnsupportedModel, match="Cannot parse precompiled_charsmap"):
        load(bert)

    assert "" == capfd.readouterr().err


def test_a_conversion_says_nothing_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reference = load(make_checkpoint(tmp_path / "gpt2", "gpt2"))
    capfd.readouterr()

    reference.convert()

    assert ("", "") == capfd.readouterr()


def test_a_translated_checkpoint_is_named_and_not_its_links(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "gte", "gte-new")
    (folder / "model.safetensors").unlink()

    with pytest.raises(UnsupportedModel) as error, translated(folder) as (read, _):
        load(read)

    assert str(error.value).startswith(f"{folder} ")
    assert "translated-" not in str(error.value)


@pytest.mark.parametrize("architecture", ["bert", "static"])
def test_words_that_would_take_hours_are_refused(architecture: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / architecture, architecture)
    path = next(folder.rglob("tokenizer.json"))
    content = json.loads(path.read_text())
    content["model"]["max_input_chars_per_word"] = 1_000_000
    path.write_text(json.dumps(content))

    with pytest.raises(UnsupportedModel, match="max_input_chars_per_word 1000000 lets one word"):
        load(folder)


def broken_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x08" + b"\0" * 40)


def other_shapes(folder: Path) -> None:
    change(folder / "config.json", intermediate_size=96)


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def unheard_of(folder: Path) -> None:
    change(folder / "config.json", model_type="unheard_of")


def no_pooling(folder: Path) -> None:
    shutil.rmtree(folder / "1_Pooling")


def heads_that_do_not_divide(folder: Path) -> None:
    change(folder / "config.json", num_attention_heads=5)


@pytest.mark.parametrize(
    "broken",
    [
        broken_weights,
        other_shapes,
        no_tokenizer,
        broken_tokenizer,
        unheard_of,
        no_pooling,
        heads_that_do_not_divide,
    ],
)
def test_what_cannot_be_read_is_one_sentence(broken: Any, bert: Path) -> None:
    broken(bert)

    with pytest.raises((UnsupportedModel, CheckpointNotFound)) as error:
        load(bert)

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert "Traceback" not in str(error.value)

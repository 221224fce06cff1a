"""What the latency table subtracts from what."""

from load_tests.bench.latency import table


def test_what_is_added_is_the_difference_of_medians() -> None:
    found = table(
        {
            "tokenizer and onnxruntime, in process": [2.0, 1.0, 9.0],
            "gRPC, ensemble": [3.5, 3.5, 3.5],
            "HTTP, gateway and ensemble": [4.25, 4.25, 4.25],
        }
    )
    assert "| **Triton adds** | 1.50 |" in found
    assert "| **the gateway adds** | 0.75 |" in found
    assert "| **both together** | 2.25 |" in found

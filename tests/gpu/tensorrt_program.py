"""Run in the environment of TensorRT-RTX: MODEL PROFILE; prints what came of it as JSON.

PROFILE is JSON, the least, usual and most shape of each input.
"""

import json
import resource
import sys
import time

import tensorrt_rtx

CAPABILITY = tensorrt_rtx.ComputeCapability.SM89  # it has none of Hopper


def main(model: str, profile: str) -> dict[str, object]:
    logger = tensorrt_rtx.Logger(tensorrt_rtx.Logger.ERROR)
    builder = tensorrt_rtx.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt_rtx.OnnxParser(network, logger)
    if not parser.parse_from_file(model):
        errors = [parser.get_error(number).desc() for number in range(parser.num_errors)]
        return {"errors": errors}
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(CAPABILITY, 0)
    shapes = builder.create_optimization_profile()
    for name, (least, usual, most) in json.loads(profile).items():
        shapes.set_shape(name, least, usual, most)
    config.add_optimization_profile(shapes)
    began = time.monotonic()
    engine = builder.build_serialized_network(network, config)
    return {
        "layers": network.num_layers,
        "seconds": round(time.monotonic() - began, 1),
        "engine_mib": engine and round(engine.nbytes / 2**20),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))

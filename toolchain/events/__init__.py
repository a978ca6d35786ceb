"""Event-camera recordings: read, binned into T time steps, kept as spikes that drive the first layer."""

from toolchain.events.binning import BY, POLARITIES, Account, Binned, Binning, Window, bin_windows
from toolchain.events.job import Job, Written, write_samples
from toolchain.events.nirdata import from_nir, to_nir
from toolchain.events.npy import Layout
from toolchain.events.recording import ENDINGS, Recording, Span, open_recording
from toolchain.events.samples import WindowRule, find_recordings, labelled, read_labels
from toolchain.events.spikefile import Spikes, load_spikes, rebinned
from toolchain.events.stream import EventStream

__all__ = [
    "BY",
    "ENDINGS",
    "POLARITIES",
    "Account",
    "Binned",
    "Binning",
    "EventStream",
    "Job",
    "Layout",
    "Recording",
    "Span",
    "Spikes",
    "Window",
    "WindowRule",
    "Written",
    "bin_windows",
    "find_recordings",
    "from_nir",
    "labelled",
    "load_spikes",
    "open_recording",
    "read_labels",
    "rebinned",
    "to_nir",
    "write_samples",
]

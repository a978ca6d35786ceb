"""Certificates: what was compared between a source network and a netlist, with which result, on which files."""

from toolchain.certify.document import load_certificate, read_text, schema
from toolchain.certify.job import CERTIFICATE, TEXT, Subject, certify, check

__all__ = ["CERTIFICATE", "TEXT", "Subject", "certify", "check", "load_certificate", "read_text", "schema"]

"""libbie from Python, as far as the comparisons here need it: include/bie.h through ctypes."""

import ctypes
import json
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path

UTF32 = ("offset_unit", "utf32")  # positions that Python's strings have
ENTITY, RELATION = 1, 2  # bie_target_kind


class Target(ctypes.Structure):
    """bie_target of a reported decision."""

    _fields_ = [("kind", c_int32), ("index", c_uint32), ("unused", c_uint32 * 10)]


class Summary(ctypes.Structure):
    """bie_summary."""

    _fields_ = [
        *((name, c_int32) for name in ("method", "chosen", "unreliable", "cut_short")),
        *((name, c_float) for name in ("score", "rival_score", "baseline_score", "without_evidence", "completeness_error", "fit")),
        *((name, c_float) for name in ("comprehensiveness", "sufficiency", "random_comprehensiveness", "random_sufficiency")),
        ("evaluations", c_uint32),
        ("reserved", c_uint32 * 5),
    ]


class Word(ctypes.Structure):
    """bie_word."""

    _fields_ = [
        *((name, c_uint32) for name in ("start", "end")),
        *((name, c_float) for name in ("weight", "standard_error")),
        ("in_target", c_uint32),
        ("reserved", c_uint32 * 3),
    ]


class Bie:
    """The loaded library with one open engine. `options` are those of include/bie.h, by name."""

    def __init__(self, library, bundle, runtime=None, **options):
        self.c = ctypes.CDLL(str(Path(library).resolve()))
        out = POINTER(c_void_p)
        for name, result, arguments in (
            ("bie_version", c_char_p, []),
            ("bie_options_new", c_void_p, []),
            ("bie_options_set_str", c_int32, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, out]),
            ("bie_options_set_i64", c_int32, [c_void_p, c_char_p, c_size_t, c_int64, out]),
            ("bie_options_free", None, [c_void_p]),
            ("bie_engine_open", c_int32, [c_char_p, c_size_t, c_void_p, out, out]),
            ("bie_engine_free", None, [c_void_p]),
            ("bie_extract", c_int32, [c_void_p, c_char_p, c_size_t, c_void_p, out, out]),
            ("bie_result_json", c_void_p, [c_void_p, POINTER(c_size_t)]),
            ("bie_result_free", None, [c_void_p]),
            ("bie_explain", c_int32, [c_void_p, c_char_p, c_size_t, c_void_p, POINTER(Target), c_void_p, c_void_p, out, out]),
            ("bie_explanation_summary", POINTER(Summary), [c_void_p]),
            ("bie_explanation_words", POINTER(Word), [c_void_p, POINTER(c_size_t)]),
            ("bie_explanation_free", None, [c_void_p]),
            ("bie_error_message", c_char_p, [c_void_p, POINTER(c_size_t)]),
            ("bie_error_free", None, [c_void_p]),
        ):
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments
        path = str(Path(bundle).resolve()).encode()
        self.engine = c_void_p()
        settings = dict([UTF32], sessions=1, threads=1) | options
        if runtime:
            settings["runtime_path"] = str(Path(runtime).resolve())
        opened = self.options(**settings)
        try:
            self.call("bie_engine_open", path, len(path), opened, byref(self.engine))
        finally:
            self.c.bie_options_free(opened)

    @property
    def version(self):
        """The library's and its runtime's."""
        return self.c.bie_version().decode()

    def call(self, name, *arguments):
        """Calls a function that returns a status and takes an error as its last argument."""
        error = c_void_p()
        if getattr(self.c, name)(*arguments, byref(error)):
            message = self.c.bie_error_message(error, None).decode()
            self.c.bie_error_free(error)
            raise RuntimeError(f"{name}: {message}")

    def options(self, **settings):
        """An options object; to be freed."""
        options = c_void_p(self.c.bie_options_new())
        for key, value in settings.items():
            key = key.encode()
            if isinstance(value, int):
                self.call("bie_options_set_i64", options, key, len(key), value)
            else:
                value = value.encode()
                self.call("bie_options_set_str", options, key, len(key), value, len(value))
        return options

    def read(self, text):
        """Extracts from a text."""
        return Reading(self, text)

    def close(self):
        """Frees the engine."""
        self.c.bie_engine_free(self.engine)
        self.engine = None


class Reading:
    """What `bie_extract` made of a text. Positions are code points."""

    def __init__(self, bie, text):
        self.bie, self.data, self.result = bie, text.encode(), c_void_p()
        bie.call("bie_extract", bie.engine, self.data, len(self.data), None, byref(self.result))

    def extraction(self):
        """The canonical JSON, parsed."""
        length = c_size_t()
        pointer = self.bie.c.bie_result_json(self.result, byref(length))
        return json.loads(ctypes.string_at(pointer, length.value))

    def explain(self, kind, index):
        """`bie_explain` of a reported decision with the engine's options: a copy of its summary, and of its words as (start, end, weight)."""
        why, count = c_void_p(), c_size_t()
        target = Target(kind=kind, index=index)
        self.bie.call("bie_explain", self.bie.engine, self.data, len(self.data), self.result, byref(target), None, None, byref(why))
        try:
            summary = Summary.from_buffer_copy(self.bie.c.bie_explanation_summary(why).contents)
            words = self.bie.c.bie_explanation_words(why, byref(count))
            return summary, [(word.start, word.end, word.weight) for word in words[: count.value]]
        finally:
            self.bie.c.bie_explanation_free(why)

    def close(self):
        """Frees the result."""
        self.bie.c.bie_result_free(self.result)
        self.result = None

"""libbie from Python, as far as the comparisons here need it: include/bie.h through ctypes."""

import ctypes
import json
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path

UTF32 = ("offset_unit", "utf32")  # positions that Python's strings have


class Bie:
    """The loaded library with one open engine. `options` are those of include/bie.h, by name."""

    def __init__(self, library, bundle, runtime=None, **options):
        self.c = ctypes.CDLL(str(library))
        for name, result, arguments in (
            ("bie_options_new", c_void_p, []),
            ("bie_options_set_str", c_int32, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_void_p)]),
            ("bie_options_set_i64", c_int32, [c_void_p, c_char_p, c_size_t, c_int64, POINTER(c_void_p)]),
            ("bie_options_free", None, [c_void_p]),
            ("bie_engine_open", c_int32, [c_char_p, c_size_t, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
            ("bie_engine_free", None, [c_void_p]),
            ("bie_extract", c_int32, [c_void_p, c_char_p, c_size_t, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
            ("bie_result_json", c_void_p, [c_void_p, POINTER(c_size_t)]),
            ("bie_result_free", None, [c_void_p]),
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

    def extract(self, text):
        """The canonical JSON of `bie_extract`, parsed; positions are code points."""
        data = text.encode()
        result, length = c_void_p(), c_size_t()
        self.call("bie_extract", self.engine, data, len(data), None, byref(result))
        try:
            pointer = self.c.bie_result_json(result, byref(length))
            return json.loads(ctypes.string_at(pointer, length.value))
        finally:
            self.c.bie_result_free(result)

    def close(self):
        """Frees the engine."""
        self.c.bie_engine_free(self.engine)
        self.engine = None

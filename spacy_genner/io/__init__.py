"""Read and write files. All modules of the package write through this one.

`files` and `folders` are written atomically, with `temporary` siblings; `text` and
untrusted `json` are read with errors that name the file and the line.
"""

from .files import (
    check_place,
    check_suffix,
    expand_home,
    json_text,
    make_private_folder,
    replaced_file,
    temporary_text_file,
    write_bytes,
    write_json,
)
from .folders import (
    backup_of,
    check_folder,
    check_new_folder,
    check_unused,
    copy_folder,
    replaced_folder,
)
from .json import (
    has_lone_surrogate,
    json_object,
    json_objects,
    json_records,
    json_values,
    parse_json,
)
from .temporary import remove
from .text import decode_line, numbered_lines, read_text

__all__ = [
    "backup_of",
    "check_folder",
    "check_new_folder",
    "check_place",
    "check_suffix",
    "check_unused",
    "copy_folder",
    "decode_line",
    "expand_home",
    "has_lone_surrogate",
    "json_object",
    "json_objects",
    "json_records",
    "json_text",
    "json_values",
    "make_private_folder",
    "numbered_lines",
    "parse_json",
    "read_text",
    "remove",
    "replaced_file",
    "replaced_folder",
    "temporary_text_file",
    "write_bytes",
    "write_json",
]

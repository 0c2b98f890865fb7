"""Pickles in a sound archive: objects that would run, bombs, and what cannot be read at all."""

from __future__ import annotations

from collections.abc import Iterator

from pickle_forge import STOP, call, dict_of, get, name, number, numbers, put, storage, tensor, text, tuple_of
from torch_case import COMMAND, EVIL, PICKLE_AT, SYSTEM, Case, beside, saved

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.pickles.limits import MAX_INTEGER_BYTES

CYCLE = ("a value that contains itself",)
DEEP = ("a value nested deeper than 128 levels",)


def objects_that_would_run() -> Iterator[Case]:
    """Each stays a name, wherever it stands; the tensor beside it is found."""

    def inert(label: str, hostile: bytes, *objections: str) -> Case:
        return Case(label, beside(hostile), objections=objections)

    def function(module: str, attribute: str, shown: str | None = None) -> Case:
        dotted = f"{module}.{attribute}"
        return inert(dotted, call(name(module, attribute), COMMAND), shown or dotted)

    yield function("os", "system")
    yield function("posix", "system")
    yield function("subprocess", "Popen")
    yield function("builtins", "eval")
    yield function("builtins", "exec")
    yield function("builtins", "open")
    yield function("__builtin__", "eval", "builtins.eval")
    yield function("torch.serialization", "load")
    yield function("os", "system.__call__")
    yield inert("NEWOBJ", SYSTEM + tuple_of(COMMAND) + b"\x81", "os.system")
    yield inert("NEWOBJ_EX", SYSTEM + tuple_of(COMMAND) + b"}\x92", "os.system")
    keywords = SYSTEM + b")" + dict_of(command=COMMAND) + b"\x92"
    yield inert("NEWOBJ_EX with keywords", keywords, "a call with keywords", "os.system")
    yield inert("INST", b"(" + COMMAND + b"ios\nsystem\n", "os.system")
    yield inert("OBJ", b"(" + SYSTEM + COMMAND + b"o", "os.system")
    yield inert("STACK_GLOBAL", call(text("os") + text("system") + b"\x93", COMMAND), "os.system")
    yield inert("EXT1", call(b"\x82\x07", COMMAND), "a call", "extension 7")
    yield inert("EXT2", b"\x83\x07\x07", "extension 1799")
    yield inert("EXT4", b"\x84\x07\0\0\0", "extension 7")
    yield inert("BUILD", call(name("a", "B")) + dict_of(__class__=SYSTEM) + b"b", "a.B", "os.system")
    yield inert("BUILD of a name", SYSTEM + dict_of(x=COMMAND) + b"b", "os.system", "os.system")
    attribute = call(name("builtins", "getattr"), SYSTEM, text("x"))
    yield inert("a call of what a call gave", call(attribute, COMMAND), "a call", "builtins.getattr", "os.system")
    yield inert("copyreg", call(name("copyreg", "_reconstructor"), SYSTEM, SYSTEM, b"N"), "os.system")
    yield inert("append to an object", call(name("a", "L")) + COMMAND + b"a", "a.L")
    yield inert("an item of an object", call(name("a", "D")) + COMMAND + SYSTEM + b"s", "a.D", "os.system")
    yield inert("a key of a dictionary", b"}" + EVIL + b"Ns", "a dictionary with an object for a key")
    for module, factory in (("os", "system"), ("builtins", "eval")):
        made = call(name("collections", "defaultdict"), name(module, factory))
        yield inert(f"the factory {factory}", made, "collections.defaultdict", f"{module}.{factory}")
    yield inert("a persistent id of text", text("os.system") + b"Q", "a persistent id")
    yield inert("a persistent id on a line", b"Pos.system\n", "a persistent id")
    other = tuple_of(text("run"), SYSTEM, text("0"), text("cpu")) + b"Q"
    yield inert("a persistent id of another kind", other, "a persistent id", "os.system")
    yield inert("a storage of no class", storage(kind="system", module="os"), "a persistent id", "os.system")
    yield inert("a buffer outside the pickle", b"\x97", "a buffer outside the pickle")
    yield inert("a layout that is a command", call(name("torch.serialization", "_get_layout"), COMMAND),
                "torch.serialization._get_layout")  # fmt: skip
    subclass = call(name("torch._tensor", "_rebuild_from_type_v2"), SYSTEM, SYSTEM, tuple_of(COMMAND), b"N")
    yield inert("a subclass of tensors", subclass, "os.system")
    yield inert("an element type of NumPy", call(name("numpy", "dtype"), b"N"), "numpy.dtype")
    yield inert("a terabyte of bytes", call(name("builtins", "bytearray"), number(1 << 40)), "builtins.bytearray")
    array = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), numbers(0), text("b"))
    objects = tuple_of(number(1), numbers(1), call(name("numpy", "dtype"), text("O8")), b"\x89", b"](" + EVIL + b"e")
    yield inert("a NumPy array of objects", array + objects + b"b", "a NumPy array of objects", "os.system")


def bombs() -> Iterator[Case]:
    """Small pickles that fill the memory or the stack of a program that is not careful."""
    deep = 1_000_000
    yield Case("lists, a million deep", saved(b"]" * deep + b"a" * (deep - 1) + STOP), tensors=(), objections=DEEP)
    yield Case("tuples, a million deep", saved(b")" + b"\x85" * deep + STOP), tensors=(), objections=DEEP)
    dicts = b"}K\0" * 100_000 + b"N" + b"s" * 100_000
    yield Case("dictionaries, a hundred thousand deep", saved(dicts + STOP), tensors=(), objections=DEEP)
    keys = b"}" * 100_000 + b"Ns" * 99_999
    yield Case("keys, a hundred thousand deep", beside(keys), objections=("a dictionary with an object for a key",))
    for levels, found in ((9_000, ("tensor 0",)), (11_000, ())):
        below = b"]" * levels + tensor() + b"a" * levels
        yield Case(f"a tensor {levels} lists deep", saved(below + STOP), tensors=found, objections=DEEP)
    laughs = b"](" + b"N" * 9 + b"e" + put(0) + b"0"
    laughs += b"".join(b"](" + get(i) * 9 + b"e" + put(i + 1) + b"0" for i in range(40)) + get(40)
    yield Case("lists that are 9^41 when written out", beside(laughs), objections=("more than 8388608 values",))
    yield Case("a list that holds itself", beside(b"]2a"), objections=CYCLE)
    yield Case("a list that grows by itself", beside(b"]" + b"2" * 1000 + b"a" * 1000), objections=CYCLE)
    yield Case("a dictionary that holds itself", beside(b"}" + put(0) + text("x") + get(0) + b"s"), objections=CYCLE)
    yield Case("two hundred thousand memo entries", beside(b"N" + b"".join(put(i) for i in range(200_000))))
    yield Case("memo indexes of 32 bits", beside(b"N" + put(0xFFFFFFFF) + put(0xFFFFFFFE)))
    yield Case("a memo index of 19 digits", beside(b"Np9999999999999999999\n"))
    yield Case("an integer of 4,096 bytes", beside(number((1 << 32767) - 1)))
    yield Case("a hundred thousand marks", beside(b"N" + b"(" * 100_000 + b"1" * 100_000))
    collisions = b"}(" + b"".join(number((i + 2) * ((1 << 61) - 1)) + b"N" for i in range(20_000)) + b"u"
    large = ("a dictionary with an object for a key",)
    yield Case("twenty thousand keys with one hash", beside(collisions), objections=large)
    again = name("_codecs", "encode") + put(1) + b"0" + text("x" * 500_000) + put(2) + b"0" + text("latin1") + put(3)
    copies = again + b"0](" + (get(1) + get(2) + get(3) + b"\x86R") * 20 + b"e"
    yield Case(
        "half a megabyte copied again and again",
        beside(copies),
        warning=LimitError,
        text="the pickle's objects at byte ",
        objections=("_codecs.encode",) * 17,
    )


def unreadable() -> Iterator[Case]:
    """The pickle cannot be read, so no tensor has a name or a type."""
    all_bits = (1 << 63).to_bytes(8, "little")

    def broken(label: str, pickled: bytes, at: int, text: str, kind: type[FormatError] = FormatError) -> Case:
        what, expected = text.split(" | ")
        worded = f"{what} at byte {PICKLE_AT + at}; expected {expected}"
        return Case(label, saved(pickled), tensors=(), warning=kind, text=worded, objections=None)

    yield broken("empty", b"", 0, "the pickle ends early | an opcode, found 0")
    yield broken("cut off after a payload", EVIL, len(EVIL), "the pickle ends early | an opcode, found 0")
    yield broken("an unknown opcode", b"\xff", 0, r"an opcode | one of the protocols 0 to 5, found b'\xff'")
    yield broken("protocol 6", b"\x80\x06N.", 0, "the protocol | at most 5, found 6")
    yield broken("nothing to stop with", b".", 0, "an opcode | values on the stack for it, found none")
    yield broken("a call of nothing", b"R.", 0, "an opcode | values on the stack for it, found none")
    yield broken("no mark", b"t.", 0, "an opcode | values on the stack for it, found none")
    yield broken("a tuple of too few", b"N\x87.", 1, "an opcode | values on the stack for it, found none")
    yield broken("nothing in the memo", b"h\x07.", 0, "an opcode | an object in the memo, found none at 7")
    yield broken("a memo index of text", b"gx\n.", 0, "an opcode | a memo index, found b'x'")
    yield broken("append to a dictionary", b"}Na.", 2, "an opcode | a list to append to, found Dict")
    yield broken("an item of a list", b"]NNs.", 3, "an opcode | a dictionary to fill, found list")
    yield broken("a key without a value", b"}(Nu.", 3, "an opcode | a value for each key, found none")
    yield broken("add to a list", b"](N\x90.", 3, "an opcode | a set to fill, found list")
    yield broken("a name of numbers", b"NN\x93.", 2, "an opcode | two strings that name a global, found other values")
    yield broken("a name without an end", b"cos\nsystem", 4, "the pickle ends early | a newline, found 6")
    long_name = "the name of a global | at most 1024 characters, found more"
    yield broken("a long name", name("o" * 2000, "x") + b".", 0, long_name, LimitError)
    yield broken(
        "text of 2^63 bytes", b"\x8d" + all_bits + b"x", 9, f"the pickle ends early | {1 << 63} bytes, found 1"
    )
    yield broken("bytes of 4 GB", b"B\xff\xff\xff\xff", 5, "the pickle ends early | 4294967295 bytes, found 0")
    yield broken("a bytearray of 2^63", b"\x96" + all_bits, 9, f"the pickle ends early | {1 << 63} bytes, found 0")
    frame = f"the pickle ends early | a frame of {1 << 63} bytes, found 0"
    yield broken("a frame of 2^63 bytes", b"\x80\x04\x95" + all_bits, 11, frame)
    limit = f"an integer | at most {MAX_INTEGER_BYTES}"
    megabyte = b"\x8b\0\0\x10\0" + bytes(1 << 20)
    yield broken("an integer of a megabyte", megabyte, 1, f"{limit} bytes, found 1048576", LimitError)
    yield broken("an integer of 2^31 bytes", b"\x8b\0\0\0\x80", 1, f"{limit} bytes, found {1 << 31}", LimitError)
    digits = b"L" + b"9" * 100_000 + b"L\n."
    yield broken("a number of 100,000 digits", digits, 1, f"{limit} digits, found 100000", LimitError)
    yield broken("a number that is none", b"Inan\n.", 1, "an integer | decimal digits, found b'nan'")
    yield broken("a fraction that is none", b"Fx\n.", 1, "a number | decimal digits, found b'x'")
    yield broken("text that is not UTF-8", b"X\2\0\0\0a\xff.", 6, r"a string | UTF-8, found b'\xff'")
    yield broken("a line without quotes", b"Sab\n.", 1, "a string | text in quotes, found b'ab'")
    yield broken("half an escape", rb"V\u12" + b"\n.", 1, r"a string | escapes of Unicode, found b'\\u12'")

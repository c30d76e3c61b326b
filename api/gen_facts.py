#!/usr/bin/env python3
"""Writes the table that dataplane/base/pb_facts.h describes.

usage: gen_facts.py DESCRIPTORS GEN_DIR SUPPORT OUTPUT

DESCRIPTORS is what protoc-c --descriptor_set_out wrote, GEN_DIR where its C files are (they tell the C name of each
message), SUPPORT is api/support.txt. Fails when a field has no support class, when a support line names what does not
exist, and when a name would collide in the C that protoc-c makes.
"""
import os
import re
import struct
import sys

# Numbers of the options in api/protos/weir/rules.proto.
RULE, SENSITIVE, DISALLOWED, WORK_IN_PROGRESS = 53200, 53201, 53202, 53203
ONEOF_REQUIRED = VALUE_DISALLOWED = MESSAGE_WORK_IN_PROGRESS = FILE_WORK_IN_PROGRESS = 53200
DEPRECATED, MAP_ENTRY = 3, 7  # of descriptor.proto: FieldOptions and MessageOptions.deprecated, MessageOptions.map_entry
ENUM_VALUE_DEPRECATED = 1

# FieldDescriptorProto.Type
DOUBLE, FLOAT, INT64, UINT64, INT32, FIXED64, FIXED32, BOOL, STRING, GROUP, MESSAGE, BYTES, UINT32, ENUM, SFIXED32, \
    SFIXED64, SINT32, SINT64 = range(1, 19)
REPEATED = 3

FLAGS = dict(MAP=1, PRESENCE=2, SENSITIVE=4, DEPRECATED=8, DISALLOWED=16, WORK_IN_PROGRESS=32, CHECKED=64)
KINDS = {'google.protobuf.' + name: kind for name, kind in {
    'DoubleValue': 'WRAPPER', 'FloatValue': 'WRAPPER', 'Int64Value': 'WRAPPER', 'UInt64Value': 'WRAPPER',
    'Int32Value': 'WRAPPER', 'UInt32Value': 'WRAPPER', 'BoolValue': 'WRAPPER', 'StringValue': 'WRAPPER',
    'BytesValue': 'WRAPPER', 'Duration': 'DURATION', 'Timestamp': 'TIMESTAMP', 'Struct': 'STRUCT', 'Value': 'VALUE',
    'ListValue': 'LIST_VALUE', 'Any': 'ANY', 'FieldMask': 'FIELD_MASK', 'Empty': 'EMPTY'}.items()}


class Fault(Exception):
    pass


# --- descriptors, read from the wire: Python's standard library has no protobuf

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The fields of a message: {number: [value, ...]}, a value an int or bytes."""
    out = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from('<Q', data, at)[0], at + 8
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        elif kind == 5:
            value, at = struct.unpack_from('<I', data, at)[0], at + 4
        else:
            raise Fault(f'wire type {kind} in the descriptors')
        out.setdefault(tag >> 3, []).append(value)
    return out


def one(message, number, otherwise=b''):
    return message[number][-1] if number in message else otherwise


def text(message, number):
    return one(message, number).decode()


class Field:
    def __init__(self, raw, syntax):
        self.name, self.number = text(raw, 1), one(raw, 3, 0)
        self.repeated = one(raw, 4, 0) == REPEATED
        self.type = one(raw, 5, 0)
        self.type_name = text(raw, 6).lstrip('.')
        self.oneof = raw[9][0] if 9 in raw else None
        options = fields(one(raw, 8))
        self.deprecated = bool(one(options, DEPRECATED, 0))
        self.sensitive = bool(one(options, SENSITIVE, 0))
        self.disallowed = bool(one(options, DISALLOWED, 0))
        self.work_in_progress = bool(one(options, WORK_IN_PROGRESS, 0))
        self.rule = fields(one(options, RULE)) if RULE in options else None
        self.support = self.note = None
        self.checked = False


class Message:
    def __init__(self, raw, scope, package, work_in_progress, syntax):
        self.name, self.package = scope + text(raw, 1), package
        options = fields(one(raw, 7))
        self.map_entry = bool(one(options, MAP_ENTRY, 0))
        self.deprecated = bool(one(options, DEPRECATED, 0))
        self.work_in_progress = work_in_progress or bool(one(options, MESSAGE_WORK_IN_PROGRESS, 0))
        self.fields = sorted((Field(fields(f), syntax) for f in raw.get(2, [])), key=lambda f: f.number)
        self.oneofs = []
        for oneof in raw.get(8, []):
            oneof = fields(oneof)
            self.oneofs.append((text(oneof, 1), bool(one(fields(one(oneof, 2)), ONEOF_REQUIRED, 0))))
        self.reserved = [name.decode() for name in raw.get(10, [])]


def load(path):
    messages, enum_marks = {}, []

    def enum(raw, scope):
        name = scope + text(raw, 1)
        for value in raw.get(2, []):
            value = fields(value)
            options = fields(one(value, 3))
            flags = FLAGS['DEPRECATED'] * bool(one(options, ENUM_VALUE_DEPRECATED, 0))
            flags |= FLAGS['DISALLOWED'] * bool(one(options, VALUE_DISALLOWED, 0))
            if flags:
                enum_marks.append((name, one(value, 2, 0), flags))

    def message(raw, scope, *rest):
        m = Message(raw, scope, *rest)
        messages[m.name] = m
        for nested in raw.get(3, []):
            message(fields(nested), m.name + '.', *rest)
        for nested in raw.get(4, []):
            enum(fields(nested), m.name + '.')

    with open(path, 'rb') as f:
        whole = fields(f.read())
    for file in whole[1]:
        file = fields(file)
        package, syntax = text(file, 2), text(file, 12)
        work_in_progress = bool(one(fields(one(file, 8)), FILE_WORK_IN_PROGRESS, 0))
        for raw in file.get(4, []):
            message(fields(raw), package + '.', package, work_in_progress, syntax)
        for raw in file.get(5, []):
            enum(fields(raw), package + '.')
    return messages, enum_marks


def check_names(m):
    """What protoc-c would silently make wrong C of."""
    names = {f.name for f in m.fields}
    for f in m.fields:
        where = f'{m.name}.{f.name}'
        if f.repeated and 'n_' + f.name in names:
            raise Fault(f'{where}: n_{f.name} beside it collides with the count in C')
        if f.name in ('linux', 'unix', 'restrict', 'typeof'):
            raise Fault(f'{where}: the name is a word of gcc')
        if f.type == GROUP:
            raise Fault(f'{where}: protoc-c cannot take groups')
    for oneof, _ in m.oneofs:
        if oneof + '_case' in names:
            raise Fault(f'{m.name}: {oneof}_case beside oneof {oneof} collides in C')


# --- support classes

def unquote(words):
    return [word for word in re.split(r'[\s,]+', words) if word]


class Support:
    """api/support.txt; its grammar stands at its top."""

    def __init__(self, path, messages):
        self.path, self.messages = path, messages
        self.packages, self.rest, self.named = {}, {}, set()
        current = None
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                line = line.split('#')[0].rstrip()
                if not line:
                    continue
                try:
                    if line[0].isspace():
                        self.line(current, line.strip())
                    else:
                        current = self.head(line)
                except Fault as fault:
                    raise Fault(f'{path}:{number}: {fault}') from None

    @staticmethod
    def split(words):
        """`ignored a, b: why` -> class, names, why"""
        names, _, why = words.partition(':')
        kind, _, names = names.strip().partition(' ')
        if kind not in ('honoured', 'ignored', 'refused'):
            raise Fault(f"'{kind}' is no class: honoured, ignored or refused")
        why = why.strip()
        if kind == 'ignored' and not why:
            raise Fault("an ignored field needs ': ' and the reason that makes it harmless")
        return kind.upper(), unquote(names), why

    def head(self, line):
        word, _, rest = line.partition(' ')
        if word == 'package':
            name, _, rest = rest.strip().partition(' ')
            kind, names, why = self.split(rest)
            if names:
                raise Fault('a package line names no fields')
            if name in self.packages:
                raise Fault(f'package {name} stands here twice')
            prefix = name[:-1] if name.endswith('.*') else name
            if not any(m.package == name or (name.endswith('.*') and m.package.startswith(prefix))
                       for m in self.messages.values()):
                raise Fault(f'no package {name}')
            self.packages[name] = (kind, why)
            return None
        if word == 'message':
            name = rest.strip()
            if name not in self.messages:
                raise Fault(f'no message {name}')
            if name in self.named:
                raise Fault(f'message {name} stands here twice')
            self.named.add(name)
            return self.messages[name]
        raise Fault(f"'{word}': expected package or message")

    def line(self, message, line):
        if message is None:
            raise Fault('a class line stands under no message')
        kind, names, why = self.split(line)
        if not names:
            raise Fault('no field named')
        by_name = {f.name: f for f in message.fields}
        for name in names:
            if name == '*':
                if message.name in self.rest:
                    raise Fault('* stands here twice')
                self.rest[message.name] = (kind, why)
                continue
            if name not in by_name:
                raise Fault(f'{message.name} has no field {name}')
            if by_name[name].support:
                raise Fault(f'{message.name}.{name} has two classes')
            by_name[name].support, by_name[name].note = kind, why

    def of_package(self, package):
        if package in self.packages:
            return self.packages[package]
        best = None
        for name in self.packages:
            if name.endswith('.*') and package.startswith(name[:-1]) and (best is None or len(name) > len(best)):
                best = name
        return self.packages.get(best)

    def complete(self):
        missing = []
        for m in self.messages.values():
            if m.map_entry:
                rest = ('HONOURED', '')  # the class of the map field decides
            elif m.name in self.named:
                rest = self.rest.get(m.name)
            else:
                rest = self.of_package(m.package)
            for f in m.fields:
                if f.support is None:
                    if rest is None:
                        missing.append(f'{m.name}.{f.name}')
                    else:
                        f.support, f.note = rest
        if missing:
            raise Fault(f'{self.path}: no class for ' + ', '.join(missing[:20]) +
                        (f' and {len(missing) - 20} more' if len(missing) > 20 else ''))


# --- rules

FLAG_OPS = {1: 'REQUIRED', 2: 'SKIP', 3: 'IGNORE_EMPTY', 4: 'DEFINED_ONLY', 5: 'UNIQUE', 6: 'IS_TRUE'}
COUNT_OPS = {10: 'MIN_LEN', 11: 'MAX_LEN', 12: 'MAX_BYTES', 13: 'MIN_ITEMS', 14: 'MAX_ITEMS', 15: 'MIN_PAIRS'}
NUMBER_OPS = {20: 'GT', 21: 'GTE', 22: 'LT', 23: 'LTE'}
TEXT_OPS = {30: 'PREFIX', 31: 'SUFFIX', 32: 'PATTERN'}
HEADER_OPS = {35: 'HEADER_NAME', 36: 'HEADER_VALUE'}
IN, NOT_IN = 33, 34
NESTED = {40: 'ITEMS', 41: 'KEYS', 42: 'VALUES'}
SIGNED = {INT64, INT32, SFIXED32, SFIXED64, SINT32, SINT64, ENUM}
UNSIGNED = {UINT64, UINT32, FIXED64, FIXED32}


def number_kind(f, messages):
    """How a rule's number is to be read, by the type of the field or of what its wrapper holds."""
    if f.type == MESSAGE:
        if f.type_name == 'google.protobuf.Duration':
            return 'NANOSECONDS'
        if KINDS.get(f.type_name) == 'WRAPPER':
            return number_kind(messages[f.type_name].fields[0], messages)
    if f.type in SIGNED:
        return 'SIGNED'
    if f.type in UNSIGNED:
        return 'UNSIGNED'
    if f.type in (DOUBLE, FLOAT):
        return 'DOUBLE'
    return None


def literal(value, kind):
    """A C initialiser of the rule's value."""
    if kind == 'NANOSECONDS':
        if not re.fullmatch(r'\d+(\.\d{1,9})?s', value):
            raise Fault(f"'{value}' is no duration")
        whole, _, part = value[:-1].partition('.')
        nanoseconds = int(whole) * 10**9 + int(part.ljust(9, '0')[:9] or 0)
        if nanoseconds >= 2**63:
            raise Fault(f"'{value}' is too long for nanoseconds in 64 bits")
        return f'{{.i = INT64_C({nanoseconds})}}'
    if kind == 'DOUBLE':
        return f'{{.d = {float(value)!r}}}'
    if kind == 'UNSIGNED':
        return f'{{.u = UINT64_C({int(value)})}}'
    return f'{{.i = INT64_C({int(value)})}}'


class Rules:
    def __init__(self, texts, messages):
        self.texts, self.messages = texts, messages
        self.lines, self.known = ['{.op = WEIR_PB_OP_END}'], {}

    def of(self, m, f):
        """Index of the field's first rule."""
        if f.rule is None:
            return 0
        try:
            lines = self.convert(f, f.rule, 'FIELD')
        except (Fault, ValueError) as fault:
            raise Fault(f'{m.name}.{f.name}: {fault}') from None
        key = tuple(lines)
        if key not in self.known:
            self.known[key] = len(self.lines)
            self.lines += [*lines, '{.op = WEIR_PB_OP_END}']
        return self.known[key]

    @staticmethod
    def inverted(rule):
        """Bounds that leave a gap in the middle: values must be beyond it on either side."""
        lower, upper = (next((rule[at][-1].decode() for at in pair if at in rule), None) for pair in ((20, 21), (22, 23)))
        if lower is None or upper is None:
            return False
        return float(upper.rstrip('s')) < float(lower.rstrip('s'))

    def convert(self, f, rule, scope):
        out = []

        def emit(op, value='{0}', string=0, number='SIGNED'):
            out.append(f'{{WEIR_PB_OP_{op}, WEIR_PB_ON_{scope}, WEIR_PB_{number}, {string}, {value}}}')

        if 3 in rule:  # switches off what follows
            emit('IGNORE_EMPTY')
        either = self.inverted(rule)
        for at, values in sorted(rule.items()):
            value = values[-1]
            if at in FLAG_OPS:
                if at != 3 and value:
                    emit(FLAG_OPS[at])
            elif at in COUNT_OPS:
                emit(COUNT_OPS[at], f'{{.u = {value}}}')
            elif at in NUMBER_OPS:
                kind = number_kind(f, self.messages)
                if kind is None:
                    raise Fault('a bound on what is no number')
                if either:
                    emit('EITHER', number=kind)
                    either = False
                emit(NUMBER_OPS[at], literal(value.decode(), kind), number=kind)
            elif at in TEXT_OPS:
                emit(TEXT_OPS[at], string=self.texts.add(value.decode()))
            elif at in HEADER_OPS:
                emit(HEADER_OPS[at], f'{{.u = {value}}}')
            elif at == IN:
                emit('IN', f'{{.u = {len(values)}}}', self.texts.add('\0'.join(v.decode() for v in values)))
            elif at == NOT_IN:
                for v in values:
                    emit('NOT_IN', f'{{.i = {(v >> 1) ^ -(v & 1)}}}')
            elif at in NESTED:
                inner = f
                if at != 40:
                    entry = self.messages[f.type_name]
                    inner = entry.fields[0 if at == 41 else 1]
                out += self.convert(inner, fields(value), NESTED[at])
            else:
                raise Fault(f'rule {at} is new here')
        return out


class Texts:
    def __init__(self):
        self.known, self.parts, self.size = {}, [], 0
        self.add('')

    def add(self, string):
        if string not in self.known:
            self.known[string] = self.size
            self.parts.append(string)
            self.size += len(string.encode()) + 1
        return self.known[string]


def c_string(string):
    out = ''
    for byte in string.encode():
        char = chr(byte)
        if char in '"\\':
            out += '\\' + char
        elif 32 <= byte < 127 and char != '?':
            out += char
        else:
            out += f'\\{byte:03o}'
    return out


# --- what the validator can skip

def find_checked(messages, enum_marks):
    """Sets field.checked: a rule, a range or a disallowed value is there or somewhere below."""
    timed = {'google.protobuf.Duration', 'google.protobuf.Timestamp'}
    disallowed = {name for name, _, flags in enum_marks if flags & FLAGS['DISALLOWED']}
    for m in messages.values():
        for f in m.fields:
            required = f.oneof is not None and m.oneofs[f.oneof][1]
            f.checked = bool(f.rule or f.disallowed or required or f.type_name in timed or f.type_name in disallowed)
    busy = set()
    while True:
        before = len(busy)
        for m in messages.values():
            for f in m.fields:
                f.checked = f.checked or f.type_name in busy
            if any(f.checked for f in m.fields):
                busy.add(m.name)
        if len(busy) == before:
            return


# --- the table

def c_names(gen_dir):
    """{full message name: C name of its descriptor}"""
    out = {}
    pattern = re.compile(r'^const ProtobufCMessageDescriptor (\w+) =\n\{\n  PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,\n  "([^"]+)"',
                         re.M)
    for folder, _, files in os.walk(gen_dir):
        for name in files:
            if name.endswith('.pb-c.c'):
                with open(os.path.join(folder, name), encoding='utf-8') as f:
                    out.update((full, c) for c, full in pattern.findall(f.read()))
    return out


def fnv(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xffffffff
    return h


def flag_names(flags):
    return ' | '.join('WEIR_PB_' + name for name, bit in FLAGS.items() if flags & bit) or '0'


def write(out, messages, enum_marks, names):
    texts = Texts()
    rules = Rules(texts, messages)
    notes = {'': 0}
    order = sorted(messages)
    index = {name: i for i, name in enumerate(order)}
    message_lines, field_lines, oneof_lines = [], [], []
    for name in order:
        m = messages[name]
        kind = 'MAP_ENTRY' if m.map_entry else KINDS.get(name, 'PLAIN')
        flags = FLAGS['WORK_IN_PROGRESS'] * m.work_in_progress | FLAGS['DEPRECATED'] * m.deprecated
        message_lines.append(f'{{{texts.add(" ".join(m.reserved))}, {len(field_lines)}, {len(m.fields)}, '
                             f'{len(oneof_lines)}, {len(m.oneofs)}, WEIR_PB_{kind}, {flag_names(flags)}}}, /* {name} */')
        for oneof, required in m.oneofs:
            oneof_lines.append(f'{{{texts.add(oneof)}, {int(required)}}},')
        for f in m.fields:
            presence = f.oneof is not None and m.oneofs[f.oneof][0] == '_' + f.name
            is_map = f.repeated and f.type == MESSAGE and messages[f.type_name].map_entry
            flags = (FLAGS['MAP'] * is_map | FLAGS['PRESENCE'] * presence | FLAGS['SENSITIVE'] * f.sensitive |
                     FLAGS['DEPRECATED'] * f.deprecated | FLAGS['DISALLOWED'] * f.disallowed |
                     FLAGS['WORK_IN_PROGRESS'] * f.work_in_progress | FLAGS['CHECKED'] * f.checked)
            child = index[f.type_name] if f.type == MESSAGE else 'WEIR_PB_NONE'
            oneof = 0 if f.oneof is None else 1 + f.oneof
            note = notes.setdefault(f.note, len(notes))
            field_lines.append(f'{{{child}, {rules.of(m, f)}, {note}, {oneof}, {flag_names(flags)}, '
                               f'WEIR_PB_{f.support}}}, /* {f.name} */')
    if max(len(field_lines), len(rules.lines), len(order)) >= 0xffff:
        raise Fault('the table needs wider indexes than 16 bits')
    size = 1
    while size < 2 * len(order):
        size *= 2
    table = [0] * size
    for i, name in enumerate(order):
        at = fnv(name) % size
        while table[at]:
            at = (at + 1) % size
        table[at] = 1 + i
    marks = [f'{{{texts.add(name)}, {value}, {flag_names(flags)}}},' for name, value, flags in enum_marks]
    note_lines = [f'{texts.add(note)},' for note in notes]

    def array(kind, name, lines):
        out.write(f'const {kind} {name}[] = {{\n')
        for line in lines:
            out.write(f'    {line}\n')
        out.write('};\n\n')

    out.write('/* Written by api/gen_facts.py. */\n#include "dataplane/base/pb_table.h"\n\n')
    for name in order:
        out.write(f'extern const ProtobufCMessageDescriptor {names[name]};\n')
    out.write('\n')
    array('ProtobufCMessageDescriptor *const', 'weir_pb_descriptors', [f'&{names[name]},' for name in order])
    array('struct weir_pb_message', 'weir_pb_messages', message_lines)
    array('struct weir_pb_field', 'weir_pb_fields', field_lines)
    array('struct weir_pb_oneof', 'weir_pb_oneofs', oneof_lines)
    array('struct weir_pb_rule', 'weir_pb_rule_table', [line + ',' for line in rules.lines])
    array('uint32_t', 'weir_pb_notes', note_lines)
    array('struct weir_pb_enum_mark', 'weir_pb_enum_marks', marks)
    array('char', 'weir_pb_texts', [f'"{c_string(part)}\\0"' for part in texts.parts])
    array('uint16_t', 'weir_pb_hash', [', '.join(map(str, table[i:i + 16])) + ',' for i in range(0, size, 16)])
    out.write(f'const uint16_t weir_pb_message_count = {len(order)};\n')
    out.write(f'const uint16_t weir_pb_enum_mark_count = {len(marks)};\n')
    out.write(f'const uint32_t weir_pb_hash_size = {size};\n')


def main():
    descriptors, gen_dir, support, output = sys.argv[1:]
    try:
        messages, enum_marks = load(descriptors)
        for m in messages.values():
            check_names(m)
        Support(support, messages).complete()
        find_checked(messages, enum_marks)
        with open(output + '.new', 'w', encoding='utf-8') as out:
            write(out, messages, enum_marks, c_names(gen_dir))
        os.replace(output + '.new', output)
    except Fault as fault:
        print(f'gen_facts.py: {fault}', file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

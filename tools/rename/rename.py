#!/usr/bin/env python3
"""Renames the project's own vocabulary to the field's, in a whole tree. Re-runnable: a second run changes nothing.

    rename.py TREE            move files, rewrite names, comments and documents, report what is left
    rename.py TREE --check    report only what is left of the old words, and change nothing
    rename.py TREE --quiet    without the counts of each rule

Works on all files that git tracks in TREE. Moves with `git mv`, writes in place, commits nothing. Afterwards:
`cargo fmt --all`, build, test. Rules that are restricted to a file name it as it is called *after* the moves.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rules import CODE, IDENTS, LEFT, LITERALS, MOVES, PART, PROSE, SKIP, SKIP_LEFT, WIDTH  # noqa: E402

COUNTS = collections.Counter()


# ---------------------------------------------------------------------------------------------------- tree and files

def git(tree, *arguments):
    return subprocess.run(["git", "-C", tree, *arguments], check=True, capture_output=True, text=True).stdout


def tracked(tree):
    names = git(tree, "ls-files", "-z").split("\0")
    return [name for name in names if name and os.path.isfile(os.path.join(tree, name)) and not re.search(SKIP, name)]


def read(tree, name):
    try:
        with open(os.path.join(tree, name), encoding="utf-8", newline="") as file:
            return file.read()
    except (UnicodeDecodeError, FileNotFoundError):
        return None


def move_files(tree):
    names = set(git(tree, "ls-files", "-z").split("\0"))
    for old, new in MOVES:
        for name in sorted(names):
            if name == old or name.startswith(old + "/"):
                target = new + name[len(old):]
                if target in names:
                    print(f"move: {name}: {target} is there already, left alone")
                    continue
                os.makedirs(os.path.dirname(os.path.join(tree, target)), exist_ok=True)
                git(tree, "mv", name, target)
                COUNTS[f"move {old} -> {new}"] += 1


# ------------------------------------------------------------------------------------------------------------- rules

IDENT = {old: new for group in IDENTS for old, new in group.items()}
TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CODE_RULES = [(re.compile(p), r, re.compile(w) if w else None, p) for p, r, w in (tuple(x) + (None,) * (3 - len(x)) for x in CODE)]
PART_RULES = [(re.compile(p), r) for p, r in PART]
PROSE_RULES = [(re.compile(p), r, re.compile(w) if w else None, p) for p, r, w in (tuple(x) + (None,) * (3 - len(x)) for x in PROSE)]


def rename_tokens(text):
    def one(match):
        word = match.group()
        new = IDENT.get(word)
        if new is None:
            new = word
            for pattern, replacement in PART_RULES:
                changed = pattern.sub(replacement, new)
                if changed != new:
                    COUNTS[f"part {pattern.pattern}"] += 1
                    new = changed
        else:
            COUNTS[f"name {word} -> {new}"] += 1
        return new
    return TOKEN.sub(one, text)


def apply(rules, text, path, kind):
    for pattern, replacement, where, source in rules:
        if where and not where.search(path):
            continue
        text, count = pattern.subn(replacement, text)
        if count:
            COUNTS[f"{kind} {source} -> {replacement if isinstance(replacement, str) else '..'}"] += count
    return text


def code(text, path):
    return rename_tokens(apply(CODE_RULES, text, path, "code"))


def prose(text, path):
    """Rewrites a sentence or paragraph on one line; what stands in backticks is code."""
    spans = []

    def keep(match):
        spans.append(code(match.group(), path))
        return f"\x01{len(spans) - 1}\x02"

    out = re.sub(r"`[^`]*`", keep, text)
    # Identifiers that stand in a sentence without backticks, e.g. in a message.
    out = TOKEN.sub(lambda m: IDENT.get(m.group(), m.group()) if "_" in m.group() or re.search(r"[a-z][A-Z]", m.group()) else m.group(), out)
    out = TOKEN.sub(lambda m: rename_tokens(m.group()) if "_" in m.group() else m.group(), out)
    out = apply(PROSE_RULES, out, path, "prose")
    return re.sub("\x01(\\d+)\x02", lambda m: spans[int(m.group(1))], out)


# Comments rewritten by hand: file, old paragraph, new paragraph. What has changed meanwhile is left to the rules.
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "paragraphs.json"), encoding="utf-8") as _file:
    PARAGRAPHS = json.load(_file)
for _old, _new in MOVES:
    if _old in PARAGRAPHS:
        PARAGRAPHS[_new] = PARAGRAPHS.pop(_old)


# ---------------------------------------------------------------------------------------------------------- wrapping

def wrap(words, first, rest, width):
    lines, line = [], first
    empty = True
    for word in words:
        if not empty and len(line) + 1 + len(word) > width:
            lines.append(line)
            line, empty = rest, True
        line += word if empty else " " + word
        empty = False
    lines.append(line)
    return lines


def words_of(text):
    """Words, with spans in backticks that contain spaces kept together as they were written."""
    return [word for word in text.split(" ") if word]


def paragraphs(lines, path, width, indent):
    """Rewrites lines of running text (without comment markers): paragraphs, lists, tables, fences."""
    out, block, hang, fence = [], [], "", False

    def flush():
        nonlocal block, hang
        if not block:
            return
        joined = " ".join([block[0].rstrip()] + [line.strip() for line in block[1:]])
        sentence = PARAGRAPHS.get(path, {}).get(joined.strip())
        if sentence:
            COUNTS["paragraph rewritten by hand"] += 1
        new = prose(re.match(r"\s*", joined).group() + sentence if sentence else joined, path)
        if new == joined:
            out.extend(block)
        else:
            lead = re.match(r"\s*((?:[-*]|\d+\.)\s+)?", new).group()
            out.extend(wrap(words_of(new[len(lead):]), lead, hang, width - indent))
        block, hang = [], ""

    for line in lines:
        text = line.strip()
        if text.startswith("```"):
            flush()
            out.append(line)
            fence = not fence
        elif fence:
            out.append(prose(code(line, path), path) if re.search(r"[a-z] [a-z]", line) else code(line, path))
        elif not text or text.startswith(("|", "#", "<", "[!")) or re.match(r"\[[^\]]+\]:", text):
            flush()
            out.append(prose(line, path) if text else line)
        elif re.match(r"\s*([-*]|\d+\.)\s", line):
            flush()
            block, hang = [line], " " * len(re.match(r"\s*([-*]|\d+\.)\s+", line).group())
        else:
            if not block:
                hang = re.match(r"\s*", line).group()
            block.append(line)
    flush()
    return out


# --------------------------------------------------------------------------------------------------------- languages

RUST = re.compile(
    r"""(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)|(?P<raw>b?r(?P<hash>\#*)".*?"(?P=hash))|(?P<string>b?"(?:\\.|[^"\\])*")"""
    r"""|(?P<char>b?'(?:\\.[^']*|[^'\\])')""",
    re.DOTALL | re.VERBOSE,
)
COMMENT_LINE = re.compile(r"^([ \t]*)(//[/!]?)( ?)(.*)$")
LOOKS_LIKE_CODE = re.compile(r"[;{}&|]|==|!=|::|\(\)|\w\(|->|=>|\.\w+\b\(|\\n")


def string(text, path):
    body = text
    if re.search(r"(edits|timed)\.rs$", path) and LOOKS_LIKE_CODE.search(body):
        return code(body, path)
    if re.search(r"[a-z] [a-z]", body):
        return prose(body, path)
    return code(body, path) if re.search(r"(edits|timed|claims|reasons|table|results|declare)\.rs$", path) else rename_tokens(body)


def rust(text, path):
    # Whole-line comments first, in blocks, so that a sentence that spans lines is seen as one.
    lines, out, block = text.split("\n"), [], []

    def flush():
        if not block:
            return
        indent, marker = block[0][0], block[0][1]
        new = paragraphs([gap[1:] if gap.startswith(" ") else gap for gap in (b[2] + b[3] for b in block)], path, WIDTH,
                         len(indent) + len(marker) + 1)
        out.extend((indent + marker + (" " + line if line.strip() else "")).rstrip() for line in new)
        block.clear()

    in_raw = None
    for line in lines:
        match = COMMENT_LINE.match(line) if in_raw is None else None
        if match:
            piece = match.groups()
            if block and (piece[0], piece[1]) != (block[0][0], block[0][1]):
                flush()
            block.append(piece)
        else:
            flush()
            in_raw = raw_state(line, in_raw)
            out.append("\x00" + line)
    flush()

    # The rest, with its strings and trailing comments. Comment lines are masked out.
    comments, masked = [], []
    for line in out:
        if line.startswith("\x00"):
            masked.append(line[1:])
        else:
            comments.append(line)
            masked.append(f"\x03{len(comments) - 1}\x04")
    rest = "\n".join(masked)
    pieces, end = [], 0
    for match in RUST.finditer(rest):
        pieces.append(code_part(rest[end:match.start()], path))
        piece = match.group()
        if match.group("line"):
            pieces.append(prose(piece, path))
        elif match.group("char"):
            pieces.append(piece)
        elif "\x03" in piece:
            pieces.append(piece)
        else:
            pieces.append(string(piece, path))
        end = match.end()
    pieces.append(code_part(rest[end:], path))
    return re.sub("\x03(\\d+)\x04", lambda m: comments[int(m.group(1))], "".join(pieces))


def code_part(text, path):
    return "".join(part if part.startswith("\x03") else code(part, path) for part in re.split("(\x03\\d+\x04)", text))


def raw_state(line, state):
    """Whether the next line is inside a raw or multi-line string that began here; comment-like lines there are text."""
    position = 0
    while True:
        if state is None:
            match = re.compile(r'//|\br(#*)"|b?"|\'(?:\\.|[^\'\\])\'').search(line, position)
            if not match or match.group() == "//":
                return None
            position = match.end()
            if match.group().startswith("'"):
                continue
            state = '"' + match.group(1) if match.group(1) is not None else '\\"'
        elif state == '\\"':
            match = re.compile(r'(?:\\.|[^"\\])*"').match(line, position)
            if not match:
                return state
            position, state = match.end(), None
        else:
            found = line.find(state, position)
            if found < 0:
                return state
            position, state = found + len(state), None


def markdown(text, path):
    return "\n".join(paragraphs(text.split("\n"), path, WIDTH, 0))


def patch(text, path):
    target, out = path, []
    for line in text.split("\n"):
        match = re.match(r"\+\+\+ b/(\S+)", line)
        if match:
            target = moved(match.group(1))
        if re.match(r"(diff|index|---|\+\+\+|@@)", line):
            out.append(move_paths(line))
        elif line[:1] in "+- ":
            comment = COMMENT_LINE.match(line[1:])
            out.append(line[:1] + (prose(line[1:], target) if comment else code(line[1:], target)))
        else:
            out.append(prose(line, path))
    return "\n".join(out)


def moved(name):
    for old, new in MOVES:
        if name == old or name.startswith(old + "/"):
            return new + name[len(old):]
    return name


def move_paths(text):
    """Paths in text, whole or by their last two parts."""
    for old, new in MOVES:
        for cut in (old, "/".join(old.split("/")[-2:])):
            if "/" not in cut:
                continue
            new_cut = "/".join(new.split("/")[-len(cut.split("/")):])
            pattern = re.compile(r"(?<![\w-])" + re.escape(cut) + r"(?![\w-])")
            text, count = pattern.subn(new_cut, text)
            if count:
                COUNTS[f"path {cut} -> {new_cut}"] += count
    return text


def plain(text, path):
    lines = []
    for line in text.split("\n"):
        lines.append(prose(line, path) if re.search(r"[a-z]", line) else line)
    return "\n".join(lines)


def rewrite(text, path):
    for where, old, new in LITERALS:
        if re.search(where, path) and old in text:
            COUNTS[f"literal in {where}: {old.strip().splitlines()[0][:60]}"] += text.count(old)
            text = text.replace(old, new)
    text = move_paths(text)
    if path.endswith(".rs"):
        return rust(text, path)
    if path.endswith(".md"):
        return markdown(text, path)
    if path.endswith((".patch", ".diff")):
        return patch(text, path)
    if path.endswith((".py", ".S", ".ld", ".sh", ".c", ".h")):
        return plain(code_py(text, path), path)
    return plain(text, path)


def code_py(text, path):
    return TOKEN.sub(lambda m: rename_tokens(m.group()) if "_" in m.group() else m.group(), text)


# ------------------------------------------------------------------------------------------------------------ report

def left(tree):
    total = 0
    for title, pattern in LEFT:
        regex, found = re.compile(pattern, re.IGNORECASE), []
        for name in tracked(tree):
            if re.search(SKIP_LEFT, name):
                continue
            if regex.search(os.path.basename(name)):
                found.append(f"  {name}: the file's name")
            for number, line in enumerate((read(tree, name) or "").split("\n"), 1):
                if regex.search(line):
                    found.append(f"  {name}:{number}: {line.strip()[:150]}")
        if found:
            print(f"left of {title} ({pattern}): {len(found)}")
            print("\n".join(found))
            total += len(found)
    print(f"left over: {total} lines" if total else "left over: nothing")
    return total


def broken_patches(tree):
    for name in tracked(tree):
        if name.endswith(".patch"):
            done = subprocess.run(["git", "-C", tree, "apply", "--check", name], capture_output=True, text=True)
            if done.returncode:
                print(f"patch does not apply any more: {name}: {done.stderr.strip().splitlines()[0]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree")
    parser.add_argument("--check", action="store_true", help="change nothing, report what is left")
    parser.add_argument("--quiet", action="store_true", help="without the counts of each rule")
    arguments = parser.parse_args()
    if not arguments.check:
        move_files(arguments.tree)
        changed = 0
        for name in tracked(arguments.tree):
            text = read(arguments.tree, name)
            if text is None:
                continue
            new = rewrite(text, name)
            if new != text:
                changed += 1
                with open(os.path.join(arguments.tree, name), "w", encoding="utf-8", newline="") as file:
                    file.write(new)
        if not arguments.quiet:
            for rule, count in sorted(COUNTS.items()):
                print(f"{count:6}  {rule}")
        print(f"{changed} files changed, {sum(COUNTS.values())} replacements")
        applied, known = COUNTS["paragraph rewritten by hand"], sum(map(len, PARAGRAPHS.values()))
        print(f"{applied} of {known} comments rewritten by hand (the others have changed, or are rewritten already)")
        broken_patches(arguments.tree)
    return 1 if left(arguments.tree) else 0


if __name__ == "__main__":
    sys.exit(main())

"""A second reader of the envelope, written from docs/spec/envelope.md alone: sqlite3 and cryptography, none of ours.

It is slow, and checks everything at once.
"""

import base64
import hashlib
import hmac
import re
import sqlite3
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Refused(Exception):
    """The store breaks a rule; its number is the message."""


def require(rule, condition):
    if not condition:
        raise Refused(rule)


def encode(*fields):  # R1
    result = b""
    for field in fields:
        data = struct.pack(">q", field) if type(field) is int else field.encode() if type(field) is str else field
        result += struct.pack(">I", len(data)) + data
    return result


def unseal(key, iv, tag, ciphertext, aad):  # R3
    require("R3", len(iv) == 12 and len(tag) == 16)
    try:
        return AESGCM(key).decrypt(iv, ciphertext + tag, aad)
    except InvalidTag:
        raise Refused("R3") from None


def mac(key, message):  # R6
    return hmac.digest(key, message, "sha256")


def master_key(text):
    """Return the master of R4 and whether it is a passphrase (R7 to R10)."""
    if re.fullmatch("[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text), False
    if text.startswith("akey1-"):
        data = base64.urlsafe_b64decode(text[6:])
        require("R8", len(data) == 36 and data[32:] == hashlib.sha256(b"akey1" + data[:32]).digest()[:4])
        return data[:32], False
    if text[:5].lower() == "akey2":
        letters = re.sub("[- ]", "", text[5:].upper()).replace("O", "0").replace("I", "1").replace("L", "1")
        values = [ALPHABET.index(letter) for letter in letters]
        require("R9", len(values) == 70)
        bits = ""
        for group in range(14):
            a, b, c, d, check = values[5 * group : 5 * group + 5]
            require("R9", check == (a + 3 * b + 5 * c + 7 * d + 9 * group) % 32)
            bits += "".join(f"{value:05b}" for value in (a, b, c, d))
        data = int(bits, 2).to_bytes(35, "big")
        require("R9", data[32:] == hashlib.sha256(b"akey2" + data[:32]).digest()[:3])
        return data[:32], False
    require("R10", len(text) >= 12)
    return text.encode(), True


def from_file(path):
    """Return the tables of a store in a file, as lists of dictionaries (R11)."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    require("R11", application == 0x414B5331 and version in (1, 2))
    tables = ["header", "key_slots", "secrets", "journal"] + ["retired_keys"] * (version > 1)
    found = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in tables}
    connection.close()
    return found


class Reader:
    """Everything in a store, opened with one key. Raises Refused."""

    def __init__(self, tables, key):
        (self.header,) = tables["header"]
        require("R11", self.header["format"] == 1 and len(self.header["store_id"]) == len(self.header["key_id"]) == 16)
        self.store_id = self.header["store_id"]
        self.data_key = self._open_slots(tables["key_slots"], *master_key(key))
        self._check_chain(tables["journal"])
        self._check_existence(tables)
        self.retired = {row["key_id"]: self._open_retired(row) for row in tables.get("retired_keys", [])}
        self.values = {(row["name"], row["version"]): self._open_row(row) for row in tables["secrets"]}

    def sub(self, purpose, data_key=None):  # R5
        info = f"autokestra/{purpose}/1".encode()
        return HKDF(hashes.SHA256(), 32, self.store_id, info).derive(data_key or self.data_key)

    def _open_slots(self, slots, master, is_passphrase):
        for slot in slots:
            fields = [slot[name] for name in ("key_id", "id", "label", "kind", "created_at", "salt", "iterations")]
            sealed = [slot[name] for name in ("iv", "wrapped_key", "auth_tag")]
            checked = encode("autokestra slot checksum", 1, self.store_id, *fields, *sealed)
            require("R14", hashlib.sha256(checked).digest() == slot["checksum"])
            require("R4", 100_000 <= slot["iterations"] <= 10_000_000)
            if (slot["kind"] == "passphrase") != is_passphrase:
                continue
            kek = hashlib.pbkdf2_hmac("sha256", master, slot["salt"], slot["iterations"], 32)
            aad = encode("autokestra slot", 1, self.store_id, *fields)
            try:
                return unseal(kek, slot["iv"], slot["auth_tag"], slot["wrapped_key"], aad)
            except Refused:
                continue
        raise Refused("R13")

    def _check_chain(self, journal):
        header, key = self.header, self.sub("journal")
        names = ("format", "store_id", "key_id", "generation", "journal_base", "journal_mac")
        require("R18", mac(key, encode("autokestra header", *(header[name] for name in names))) == header["header_mac"])
        start = encode("autokestra journal", 1, self.store_id, header["key_id"], header["journal_base"])
        link, generation = mac(key, start), header["journal_base"]
        for row in sorted(journal, key=lambda row: row["generation"]):
            generation += 1
            require("R17", row["generation"] == generation)
            fields = [row[name] for name in ("generation", "at", "operation", "name", "version", "tag")]
            link = mac(key, encode("autokestra journal row", link, *fields))
        require("R17", (link, generation) == (header["journal_mac"], header["generation"]))

    def _check_existence(self, tables):  # R19, R22
        secrets, slots, retired = {}, {}, {}
        for row in sorted(tables["journal"], key=lambda row: row["generation"]):
            name, version, tag = row["name"], row["version"], row["tag"]
            match row["operation"]:
                case "put":
                    secrets[name, version] = tag
                case "prune" | "delete" as operation:
                    gone = [(n, v) for n, v in secrets if n == name and (operation == "delete" or v <= version)]
                    for one in gone:
                        del secrets[one]
                case "slot-add":
                    slots[version] = tag
                case "slot-remove":
                    del slots[version]
                case "key-retire":
                    retired[name] = tag
                case "key-forget":
                    del retired[name]
                case _:
                    raise Refused("R19")
        require("R22", secrets == {(row["name"], row["version"]): row["auth_tag"] for row in tables["secrets"]})
        require("R19", slots == {row["id"]: row["checksum"] for row in tables["key_slots"]})
        found = {row["key_id"].hex(): row["auth_tag"] for row in tables.get("retired_keys", [])}
        require("R19", retired == found)

    def _open_retired(self, row):  # R15
        names = ("key_id", "wrapped_by", "retired_at")
        aad = encode("autokestra retired key", 1, self.store_id, *(row[name] for name in names))
        return unseal(self.sub("retired"), row["iv"], row["auth_tag"], row["wrapped_key"], aad)

    def _open_row(self, row):  # R21
        require("R12", re.fullmatch("[A-Za-z0-9_-]{1,128}", row["name"]) and row["version"] >= 1)
        require("R21", row["key_id"] == self.header["key_id"] and row["state"] == "active")
        names = ("name", "version", "created_at", "updated_at", "state", "metadata")
        bound = (row["key_id"], self.store_id, "secrets", *(row[name] for name in names))
        aad = encode("autokestra row", 1, *bound)
        value = unseal(self.sub("values"), row["iv"], row["auth_tag"], row["encrypted_value"], aad)
        require("R12", 1 <= len(value) <= 1_048_576)
        return value

    def open_output(self, blob, *context):  # R26
        require("R26", blob[:4] == b"AKO1" and blob[4:20] == self.store_id)
        key_id = blob[20:36]
        data_key = self.data_key if key_id == self.header["key_id"] else self.retired[key_id]
        aad = encode("autokestra output", blob[:36], len(context), *context)
        return unseal(self.sub("outputs", data_key), blob[36:48], blob[48:64], blob[64:], aad)

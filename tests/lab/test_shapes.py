"""main.cf and master.cf as people leave them: whatever their shape, only what is declared
changes, and where it cannot, the error says why and nothing was touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from releases import chosen_releases
from support import Bench, Site, leftovers, master, state, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Pool

    from provisioner.lab.lab import Lab


@pytest.fixture(scope="module")
def the_bench(lab: Lab, host_pool: Pool, pytestconfig: pytest.Config) -> Iterator[Bench]:
    host = host_pool.take(chosen_releases(pytestconfig)[-1])
    yield Bench(lab, host)
    host_pool.give_back(host)


@pytest.fixture
def bench(the_bench: Bench) -> Bench:
    the_bench.renew()
    return the_bench


@pytest.fixture
def site(lab: Lab, bench: Bench, tmp_path: Path) -> Site:
    made = Site(lab, tmp_path, bench.host)
    made.say(WANTED, ["postfix"])
    return made


WANTED = {
    "postfix": {
        "parameters": {
            "disable_vrfy_command": True,
            "relay_domains": ["a.example", "b.example"],
        }
    }
}

HEAD = (
    "# Kept by hand since 2009.\ncompatibility_level = 3.6\nmydestination = localhost\n"
    "smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination\n"
)
FOLDED = "relay_domains =\n    a.example,\n    b.example\n"

#: What main.cf holds before (after HEAD), and what it must hold afterwards, byte for byte.
SHAPES = {
    "absent": ("", "disable_vrfy_command = yes\n" + FOLDED),
    "no final newline": (
        "biff = no\nmailbox_size_limit = 0",
        "biff = no\nmailbox_size_limit = 0\ndisable_vrfy_command = yes\n" + FOLDED,
    ),
    "no final newline in the managed value": (
        FOLDED + "disable_vrfy_command = no",
        FOLDED + "disable_vrfy_command = yes\n",
    ),
    "only the final newline is missing elsewhere": (
        FOLDED + "disable_vrfy_command = no\nbiff = no",
        FOLDED + "disable_vrfy_command = yes\nbiff = no\n",
    ),
    "duplicates": (
        "disable_vrfy_command = yes\nbiff = no\nrelay_domains = x\n"
        "disable_vrfy_command = no\n# end\nrelay_domains = a.example b.example\n",
        "biff = no\ndisable_vrfy_command = yes\n# end\nrelay_domains = a.example b.example\n",
    ),
    "comments and blank lines inside a value": (
        "biff = no\nrelay_domains = old.example,\n# moved in 2012\n\n  older.example,\n"
        "   # indented\n  oldest.example\n# about what follows\ndisable_vrfy_command = yes\n",
        "biff = no\n" + FOLDED + "# moved in 2012\n\n   # indented\n# about what follows\n"
        "disable_vrfy_command = yes\n",
    ),
    "odd spacing": (
        "biff=no\ndisable_vrfy_command\t=no   \nmailbox_size_limit   =   0\t\n"
        "relay_domains=a.example,b.example\n",
        "biff=no\ndisable_vrfy_command = yes\nmailbox_size_limit   =   0\t\n"
        "relay_domains=a.example,b.example\n",
    ),
    "the same list folded in another way": (
        "relay_domains = a.example\n\tb.example\ndisable_vrfy_command = no\n",
        "relay_domains = a.example\n\tb.example\ndisable_vrfy_command = yes\n",
    ),
    "long lines and bytes that are no UTF-8": (
        "# " + "x" * 5000 + "\n# caf\udce9\ndisable_vrfy_command = no\n" + FOLDED,
        "# " + "x" * 5000 + "\n# caf\udce9\ndisable_vrfy_command = yes\n" + FOLDED,
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_main_cf(bench: Bench, site: Site, shape: str) -> None:
    before, after = SHAPES[shape]
    bench.write_main_cf(HEAD + before)
    site.plan(code=2)
    assert bench.main_cf() == HEAD + before
    site.settle()
    assert bench.main_cf() == HEAD + after
    said = bench.sh("postconf -h disable_vrfy_command relay_domains 2>&1").replace(",", " ")
    assert said.split() == ["yes", "a.example", "b.example"]


def test_carriage_returns(bench: Bench, site: Site) -> None:
    before = (HEAD + "disable_vrfy_command = no\nbiff = no\n").replace("\n", "\r\n")
    bench.write_main_cf(before)
    site.settle()
    after = bench.main_cf()
    for line in before.splitlines(keepends=True):
        if not line.startswith("disable_vrfy"):
            assert line in after
    assert bench.sh("postconf -h disable_vrfy_command").strip() == "yes"
    assert bench.sh("postconf -h relay_domains").split() == ["a.example,", "b.example"]


def test_byte_order_mark(bench: Bench, site: Site) -> None:
    text = "disable_vrfy_command = no\n" + HEAD
    bench.write_main_cf(b"\xef\xbb\xbf" + text.encode())
    assert bench.sh("postconf -h disable_vrfy_command 2>/dev/null").strip() == "no"
    site.settle()
    assert bench.sh("postconf -h disable_vrfy_command 2>/dev/null").strip() == "yes"
    assert HEAD in bench.main_cf()
    assert bench.main_cf().count("disable_vrfy_command") == 1


def test_symlink_stays_a_symlink(bench: Bench, site: Site) -> None:
    bench.sh(
        "mkdir /etc/mail-real && mv /etc/postfix/main.cf /etc/mail-real/our-main.cf && "
        "ln -s ../mail-real/our-main.cf /etc/postfix/main.cf"
    )
    inode = bench.sh("stat -c %i /etc/postfix/main.cf")
    site.settle()
    assert bench.sh("readlink /etc/postfix/main.cf").strip() == "../mail-real/our-main.cf"
    assert bench.sh("stat -c %i /etc/postfix/main.cf") == inode
    assert "disable_vrfy_command = yes" in bench.sh("cat /etc/mail-real/our-main.cf")
    assert bench.sh("ls -A /etc/mail-real").split() == ["our-main.cf"]


def test_owner_mode_acl_and_attributes_are_kept(bench: Bench, site: Site) -> None:
    bench.sh(
        "cd /etc/postfix && chown admin:mail main.cf && chmod 0640 main.cf && "
        "setfacl -m u:postfix:r,u:deploy:rw main.cf && "
        "setfattr -n user.note -v 'ours' main.cf && setfattr -n trusted.seal -v 'x' main.cf"
    )
    look = (
        "cd /etc/postfix; stat -c '%U %G %a' main.cf; getfacl -c main.cf; getfattr -d -m - main.cf"
    )
    before = bench.sh(look)
    assert "user.note" in before
    site.settle()
    assert bench.sh(look) == before
    assert bench.sh("postconf -h disable_vrfy_command").strip() == "yes"


FULL = (
    "mount -t tmpfs -o size=4k tmpfs /mnt && cp -a /etc/postfix/main.cf /mnt/ && "
    "mv /etc/postfix/main.cf /root/ && ln -s /mnt/main.cf /etc/postfix/main.cf"
)
READ_ONLY = "mount --bind /etc/postfix /etc/postfix && mount -o remount,bind,ro /etc/postfix"
BOUND = "mount --bind /etc/postfix/main.cf /etc/postfix/main.cf"


@pytest.mark.parametrize(
    ("prepare", "causes"),
    [
        (BOUND, "/etc/postfix/main.cf is a mount point"),
        ("+i main.cf", "/etc/postfix/main.cf cannot be replaced: Operation not permitted"),
        ("+a main.cf", "/etc/postfix/main.cf cannot be replaced: Operation not permitted"),
        ("+i .", "cannot write beside /etc/postfix/zone: Operation not permitted"),
        (READ_ONLY, "cannot write beside /etc/postfix/zone: Read-only file system"),
        (FULL, "cannot write beside /etc/postfix/main.cf: No space left on device"),
    ],
    ids=["bind mount", "immutable", "append-only", "immutable directory", "read-only", "full"],
)
def test_what_cannot_be_replaced_is_named_and_nothing_changes(
    bench: Bench, site: Site, prepare: str, causes: str
) -> None:
    """Also with other files in the same plan: none of them may have moved."""
    tables = {"/etc/postfix/zone": {"entries": {"x.example": "OK"}}}
    site.say({"postfix": {**WANTED["postfix"], "tables": tables}}, ["postfix"])
    if prepare.startswith("+"):
        bench.chattr(*prepare.split())
    else:
        bench.sh(prepare)
    alive = master(bench.lab, bench.host)
    before = state(bench.lab, bench.host)
    site.plan(code=2)
    done = site.apply(code=4)
    assert causes in done.err
    assert state(bench.lab, bench.host) == before
    assert leftovers(bench.lab, bench.host) == ""
    assert master(bench.lab, bench.host) == alive


@pytest.mark.parametrize(
    ("prepare", "cause"),
    [
        ("mount -t tmpfs -o ro tmpfs /var/lib", ": Read-only file system"),
        ("mount -t tmpfs -o size=4k tmpfs /var/lib/provisioner", " (no space left?)"),
    ],
    ids=["read-only", "full"],
)
def test_a_place_of_our_own_that_cannot_be_written_is_named(
    bench: Bench, site: Site, prepare: str, cause: str
) -> None:
    bench.sh(f"mkdir -p /var/lib/provisioner && {prepare}")
    before = state(bench.lab, bench.host)
    done = site.apply(code=4)
    assert f"cannot write to /var/lib/provisioner{cause}" in done.err
    assert state(bench.lab, bench.host) == before


def test_broken_foreign_line_is_named_with_its_place(bench: Bench, site: Site) -> None:
    bench.write_main_cf(HEAD + "this line means nothing\nbiff = no\n")
    done = site.plan(code=4)
    assert "/etc/postfix/main.cf:5:1" in done.err
    assert "this line means nothing" in done.err
    assert site.apply(code=4).err
    assert bench.main_cf() == HEAD + "this line means nothing\nbiff = no\n"


def test_broken_value_that_is_ours_to_set_is_repaired(bench: Bench, site: Site) -> None:
    bench.write_main_cf(HEAD + "disable_vrfy_command = ${nonsense\n")
    assert bench.lab.exec(bench.host, "postconf -n", check=False).returncode != 0
    site.settle()
    assert bench.sh("postconf -h disable_vrfy_command").strip() == "yes"
    assert "Postfix" in bench.sh("postconf -h mail_name")


# ---- master.cf --------------------------------------------------------------------------------

FOREIGN = (
    "# our own content filter, do not touch\n"
    "scan      unix  -       -       n       -       16      smtp\n"
    "    -o smtp_send_xforward_command=yes\n"
    "# a comment inside\n"
    "\n"
    "  -o   disable_mime_output_conversion=yes\n"
    "localhost:10026 inet  n -       n       -       16      smtpd\n"
    "\t-o content_filter=\n"
    "  # indented comment\n"
    "\t-o mynetworks=127.0.0.0/8\n"
)


@pytest.mark.parametrize(
    "name",
    [
        "465",
        pytest.param("smtps", marks=pytest.mark.matrix),
        pytest.param("submissions", marks=pytest.mark.matrix),
    ],
)
def test_foreign_services_stay_and_synonyms_are_one_service(
    bench: Bench, site: Site, name: str
) -> None:
    old = f"{name}     inet  n  -  y  -  -  smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    path = "/etc/postfix/master.cf"
    stock = bench.sh(f"cat {path}")
    write(bench.lab, bench.host, path, f"{stock}{FOREIGN}{old}# the end")
    bench.sh("postfix reload")
    site.say({}, ["postfix", "dovecot_auth", "submission"])
    assert site.addresses(bench.host)["service:submissions/inet"] == "update"
    site.settle()
    after = bench.sh(f"cat {path}")
    assert FOREIGN in after
    assert "# the end\n" in after
    for line in stock.splitlines():
        assert line in after
    services = bench.sh("postconf -M").splitlines()
    wrapped = [s for s in services if s.split()[0] in ("smtps", "465", "submissions")]
    assert len(wrapped) == 1
    assert wrapped[0].split()[0] == name
    assert "-o smtpd_sasl_auth_enable=yes" in wrapped[0]
    assert len([s for s in services if s.startswith("submission ")]) == 1
    assert any(s.startswith("localhost:10026") and "content_filter= " in s for s in services)

"""What is wrong with a configuration: each kind of problem by its essential words."""

import pytest

HEAD = '[forward]\nprimary = ["a"]\n'
LOG = '[[log]]\ntag = "app"\npath = "/var/log/app.log"\n'
NUMBER_ONE = '[[log]] number 1 (tag "app"): '


def case(text, *words, name):
    return pytest.param(text, words, id=name)


CASES = [
    # Names of tables and keys
    case('[forwrd]\nprimary = ["a"]\n' + HEAD + LOG, "forwrd is unknown", '"forward"', name="misspelt-table"),
    case("[nginx]\n" + HEAD + LOG, "nginx is unknown", "Known are", "drain_log, log", name="strange-table"),
    case(HEAD + LOG + "tga = 1", NUMBER_ONE, "tga is unknown", '"tag"', name="misspelt-log-key"),
    case(HEAD + "conect_timeout = 1\n" + LOG, '[forward]: conect_timeout is unknown. Did you mean "connect_timeout"?', name="misspelt-key"),
    case('log_level = "info"\n' + HEAD + LOG, "log_level is unknown here", "[master]: move it", name="key-without-table"),
    case(HEAD + "read_from_head = true\n" + LOG, "[forward]: read_from_head", "[tail]", name="key-in-another-table"),
    case(HEAD + 'shared_key = "s"\n' + LOG, "shared_key", "[forward.security]", name="key-of-an-inner-table"),
    case('tag = "a"\n' + HEAD + LOG, "tag is unknown here", "[[log]]", name="log-key-at-the-top"),
    case(HEAD + LOG + 'primary = ["b"]', NUMBER_ONE, "write it as forward.primary", name="forward-key-in-log"),
    case(HEAD + LOG + "forward.max_inflight = 2", 'forward.max_inflight is unknown. Did you mean "max_in_flight"?', name="misspelt-override"),
    case(HEAD + LOG + '"a\\nb\\u001b" = 1', "a\\nb\\u001b is unknown", name="control-characters-in-a-key"),
    # Tables and their brackets
    case(HEAD + '[log]\ntag = "a"\npath = "/a"', "log is one table", "[[log]], with two brackets", name="log-in-single-brackets"),
    case("log = 5\n" + HEAD, "log is a whole number", "[[log]]", name="log-is-a-number"),
    case("log = [1]\n" + HEAD, "log is a list", "[[log]]", name="log-is-a-list-of-numbers"),
    case('[[forward]]\nprimary = ["a"]\n' + LOG, "forward is a list, not a table", "[forward], in single brackets", name="forward-in-double-brackets"),
    case(HEAD + LOG + "forward = 5", NUMBER_ONE + "forward is a whole number, not a table. Write forward.KEY = ...", name="override-is-no-table"),
    case(HEAD + LOG + "ping = true", NUMBER_ONE + "ping is true or false, not a table", name="optional-table-true"),
    # Types
    case(HEAD + 'connect_timeout = "5s"\n' + LOG, '[forward]: connect_timeout = "5s" is a text, not a number.', "from 0.01 to 3600 seconds, without quotes", name="text-for-number"),
    case(HEAD + "connect_timeout = true\n" + LOG, "connect_timeout = true is true or false, not a number", name="bool-for-number"),
    case(HEAD + "max_in_flight = 2.0\n" + LOG, "max_in_flight = 2.0 is a fraction, not a whole number", "1 to 1024 chunks", name="float-for-integer"),
    case(HEAD + "max_in_flight = true\n" + LOG, "max_in_flight = true is true or false", name="bool-for-integer"),
    case(HEAD + "time_as_integer = 1\n" + LOG, "time_as_integer = 1 is a whole number. Write true or false", name="number-for-bool"),
    case(HEAD + LOG + "field_name = 5", "field_name = 5 is a whole number, not a text. Put it in quotes", name="number-for-text"),
    case(HEAD + LOG + "field_name = 1979-05-27", "field_name = 1979-05-27 is a date or time", name="date-for-text"),
    case('[master]\nstate_dir = ["/a", {}, [1]]\n' + HEAD + LOG, 'state_dir = ["/a", {...}, [...]] is a list, not a text', name="list-for-path"),
    case('[forward]\nprimary = "a:1"\n' + LOG, 'primary = "a:1" is a text, not a list', '["fluentd.example:24224"]', name="text-for-list"),
    case(HEAD + "format = 5\n" + LOG, 'format = 5 is unknown. Write one of "msgpack", "json"', name="number-for-word"),
    # Ranges
    case(HEAD + 'format = "jsno"\n' + LOG, 'format = "jsno" is unknown', 'Did you mean "json"?', name="unknown-word"),
    case("[master]\nnice = 20\n" + HEAD + LOG, "[master]: nice = 20 is out of range", "from -20 to 19", name="integer-too-large"),
    case(HEAD + LOG + "read_buffer_size = 1", "read_buffer_size = 1 is out of range", "64 to 67108864 bytes", name="integer-too-small"),
    case(HEAD + LOG + "poll_interval = -1", "poll_interval = -1 is out of range", name="negative-time"),
    case(HEAD + LOG + "poll_interval = nan", "poll_interval = nan is out of range", name="nan"),
    case(HEAD + LOG + "rotate_wait = inf", "rotate_wait = inf is out of range", name="infinity"),
    case(HEAD + LOG + "rotate_wait = 0x" + "f" * 6000, "rotate_wait = (a very long number) is out of range", name="number-too-long-to-print"),
    case(HEAD + "keepalive_timeout = 60\n" + LOG, "keepalive_timeout = 60 is out of range. Write 0, or a number from 120 to", name="zero-or-more"),
    case(HEAD + "reconnect_wait_incr_rate = 0.5\n" + LOG, "reconnect_wait_incr_rate = 0.5", "from 1 to 100.", name="rate-below-one"),
    # Texts, tags, paths
    case(HEAD + '[[log]]\ntag = ""\npath = "/a"', 'tag = "" is empty', "no server could route it", name="empty-tag"),
    case(HEAD + '[[log]]\ntag = "a b"\npath = "/a"', 'tag = "a b" has a blank', "<match>", name="blank-in-tag"),
    case(HEAD + '[[log]]\ntag = "a\\u0000b"\npath = "/a"', "control character", name="nul-in-tag"),
    case('[tail]\ntag_prefix = "a b"\n' + HEAD + LOG, '[tail]: tag_prefix = "a b" has a blank', name="blank-in-prefix"),
    case(HEAD + LOG + 'field_name = ""', 'field_name = "" is empty', name="empty-field-name"),
    case(HEAD + '[[log]]\ntag = "app"\npath = ""', 'path = "" is empty. Write a path', name="empty-path"),
    case(HEAD + '[[log]]\ntag = "app"\npath = "-"', NUMBER_ONE + 'path = "-" is standard input', "`fluentlite agent`", name="standard-input"),
    case(HEAD + '[[log]]\ntag = "app"\npath = "/var/log/*.log"', "has a wildcard", "Name each file", name="wildcard-in-path"),
    case(HEAD + '[[log]]\ntag = "app"\npath = "~/a.log"', 'begins with "~"', "${HOME}", name="tilde"),
    case(HEAD + '[[log]]\ntag = "app"\npath = "/a\\u0000b"', "NUL", name="nul-in-path"),
    case(HEAD + '[[log]]\ntag = "${NOPE}"\npath = "/a"', '(tag "${NOPE}")', "the environment has no NOPE", name="unknown-variable"),
    case('[master]\nlog_level = "${LEVEL}"\n' + HEAD + LOG, 'log_level = "${LEVEL}", which is "loud", is unknown', name="expanded-value-shown"),
    # Servers
    case("[forward]\nprimary = []\n" + LOG, "[forward]: primary = [] is empty, so there is nowhere to send to", name="empty-primary"),
    case('[forward]\nprimary = ["a:x"]\n' + LOG, 'has the server "a:x"', 'the port "x" is not a number from 1 to 65535', '[IPv6 address]:port', name="bad-port"),
    case("[forward]\nprimary = [5]\n" + LOG, "has the server 5, but that is not a text", name="server-is-a-number"),
    case(HEAD + 'secondary = ["[::g]:1"]\n' + LOG, 'secondary = ["[::g]:1"]', '"::g" is not an IPv6 address', name="bad-secondary"),
    case(HEAD + 'primary_file = "list"\n' + LOG, "primary and primary_file are both given. Keep one", name="primary-twice"),
    case('[forward]\nprimary_file = "gone"\n' + LOG, 'primary_file = "gone" names', "/gone, which does not exist", name="missing-list"),
    case('[forward]\nprimary_file = "empty"\n' + LOG, "/empty, which lists no server. Write one per line", name="empty-list"),
    case('[forward]\nprimary_file = "."\n' + LOG, "is a directory", name="list-is-a-directory"),
    case('[forward]\nprimary_file = "bad"\n' + LOG, "/bad, of which line 2: ", 'port "x"', name="bad-list"),
    case(LOG, '[forward]: primary is missing, so [[log]] number 1 (tag "app") would have nowhere', name="no-primary"),
    # What has to be there
    case(HEAD, "there is no [[log]]", "Add one, with its tag and its path", name="no-log"),
    case("", "there is no [[log]]", name="empty-file"),
    case(HEAD + '[[log]]\npath = "/a"', '[[log]] number 1: tag is missing. Add a line such as tag = "nginx.access"', name="no-tag"),
    case(HEAD + '[[log]]\ntag = "app"', NUMBER_ONE + "path is missing", name="no-path"),
    case('[ping]\ndata = "d"\n' + HEAD + LOG, "[ping]: tag is missing", name="ping-without-tag"),
    case('[ping]\ntag = "d"\n' + HEAD + LOG, "[ping]: data is missing", name="ping-without-data"),
    case("[drain_log]\n" + HEAD + LOG, "[drain_log]: tag is missing", name="drain-log-without-tag"),
    case(HEAD + LOG + "ping.interval = 5\nping.tag = 'a'", NUMBER_ONE + "ping.data is missing", name="own-ping-without-data"),
    case('[forward.security]\nself_hostname = "h"\n' + HEAD + LOG, "[forward.security]: shared_key is missing", name="no-shared-key"),
    case('[forward.security]\nshared_key = ""\n' + HEAD + LOG, "shared_key is empty", name="empty-shared-key"),
    # What goes together
    case('[forward.security]\nshared_key = "k"\nusername = "u"\n' + HEAD + LOG, "username is given without password. Add password", name="user-without-password"),
    case('[forward.security]\nshared_key = "k"\npassword = "u"\n' + HEAD + LOG, "password is given without username", name="password-without-user"),
    case(HEAD + LOG + 'forward.tls.cert_file = "c"', "forward.tls.cert_file is given without forward.tls.key_file", name="certificate-without-key"),
    case(HEAD + LOG + 'forward.tls.key_file = "c"', "forward.tls.key_file is given without forward.tls.cert_file", name="key-without-certificate"),
    case(HEAD + 'format = "json"\ncompress = "gzip"\n' + LOG, '[forward]: format = "json" does not go with compress = "gzip"', name="compressed-json"),
    case(HEAD + 'format = "json"\n' + LOG + 'forward.compress = "gzip"', NUMBER_ONE + 'forward.format = "json" does not', name="compressed-json-in-one-log"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), CASES)
def test_each_problem_is_one_sentence_with_its_essentials(problems_of, write, tmp_path, text, words):
    """One mistake is one problem, and it names file, table, key, value and remedy (C01)."""
    write("list", "a\n")
    write("empty", "# nothing\n")
    write("bad", "a\nb:x\n")
    problems = problems_of(text, {"LEVEL": "loud"})

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{tmp_path}/main.toml: ")
    assert [word for word in words if word not in problems[0]] == [], problems[0]
    assert "\n" not in problems[0]


def test_all_problems_come_at_once_and_each_once(problems_of, tmp_path):
    """Nobody mends a configuration one error per attempt."""
    problems = problems_of(
        "[master]\nnice = 99\nlog_level = 1\n[tail]\nfeld_name = 1\nrotate_wait = -1\n[ping]\ninterval = 0\n"
        '[[log]]\ntag = "a"\npath = "-"\n[[log]]\npath = "/b"\n[[log]]\ntag = "c"\npath = "/c"\nforward.format = "x"\n'
    )

    keys = [
        "nice",
        "log_level",
        "feld_name",
        "rotate_wait",
        "interval",
        "path",
        "tag",
        "forward.format",
        "primary",
    ]
    keys += ["tag", "data"]
    assert len(keys) == len(problems), problems
    assert [key for key, problem in zip(keys, problems, strict=True) if f": {key} " not in problem] == []


def test_many_logs_without_a_server_are_one_problem(problems_of):
    """A hundred logs do not make a hundred sentences of one mistake."""
    logs = "".join(f'[[log]]\ntag = "t{number}"\npath = "/{number}"\n' for number in range(100))
    [problem] = problems_of(logs)

    assert '[[log]] number 3 (tag "t2") and 97 more would have' in problem


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "[forward.security]\nshared_key = {0}\npassword = {0}\nusername = 5\n", id="wrong-neighbour"
        ),
        pytest.param("[forward.security]\npasword = {0}\n", id="misspelt-key"),
        pytest.param("[forward]\nshared_key = {0}\n", id="wrong-table"),
        pytest.param("[forward]\nsecurity = {0}\n", id="instead-of-the-table"),
        pytest.param("[[forward.security]]\nshared_key = {0}\n", id="list-of-tables"),
        pytest.param("[forward.security]\nshared_key = [{0}]\n", id="in-a-list"),
        pytest.param("[forward.security]\nshared_key = {0}\nshared_key = {0}\n", id="twice"),
        pytest.param("[forward.security]\npassword = '${{A B:-s3same}}'\n", id="broken-reference"),
        pytest.param("[forward.security]\npassword = '${{NOPE}}s3same'\n", id="unknown-variable-beside"),
        pytest.param("[forward]\nprimary = [{{ shared_key = {0} }}]\n", id="in-a-list-of-servers"),
        pytest.param("[forward.security]\nshared_key_file = {0}\n", id="in-place-of-its-file"),
        pytest.param(
            "[forward.security]\npassword_file = '${{X:-s3same}}'\n", id="in-place-of-its-file-by-reference"
        ),
        pytest.param("[forward.security]\nshared_key = {0}\nshared_key_file = '/k'\n", id="beside-its-file"),
        pytest.param(
            "[[log]]\nforward.security.shared_key = {0}\nforward.security.user = {0}\n", id="in-a-log"
        ),
    ],
)
def test_no_problem_tells_a_secret(problems_of, text):
    """Whatever is wrong around a secret, its value is in no sentence."""
    told = "\n".join(problems_of(text.format('"s3same"')))

    assert "s3same" not in told
    assert told


def test_a_secret_from_the_environment_is_not_told(problems_of, least):
    """A variable's name may be told, its value not."""
    text = least + 'forward.security.shared_key = "${KEY}"\nforward.security.password = "${KEY}"\n'

    assert "s3same" not in "".join(problems_of(text, {"KEY": "s3same\udcff"}))


def test_bytes_of_the_environment_that_are_no_text_are_refused_where_they_would_be_sent(
    problems_of, load_text
):
    """A tag must be UTF-8; the path of a file may be any bytes (T30)."""
    environ = {"BYTES": "\udcff"}
    [problem] = problems_of(HEAD + '[[log]]\ntag = "${BYTES}"\npath = "/a"', environ)

    assert "cannot be written as UTF-8" in problem
    assert problem.isprintable()
    assert load_text(HEAD + '[[log]]\ntag = "a"\npath = "/${BYTES}"', environ).logs[0].path == "/\udcff"

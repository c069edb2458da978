"""What each command answers, in the contract's own words."""

from __future__ import annotations

from tests.e2e.shapes import deviations, read

KNOWN = {
    "SUFFRAGE": (
        "{height, n, f, q, live int, margin, members [{address, publickey, instance, epoch, url, "
        "live, last_seen_at*?}]}"
    ),
    "VP": "{height, round, stage, signers [{address, instance, epoch}]}",
    "RESULT": "{index, name, ok, reason?, events [{name, data {..}}]}",
    "SESSION": (
        "{session?, mode, side, address, epoch_before, epoch_after, old_instance?, new_instance?, "
        "new_url?, reason?, phase?, phases [{name, height, reached_at*}], waits_for?, "
        "peers_ready?, peers_needed?, shadow_matches?, shadow_needed?, committed_height?, "
        "acts_height?, acknowledged_height?, returned_height?, outcome?, "
        "error {code, message, hint}?, missed_ballots?, extra_rounds?, seconds?}"
    ),
    "HEADER": (
        "{height, block_hash, parent_hash, value_hash, round, proposer?, proposed_at*?, "
        "results_root, state_root, next_suffrage_hash, operations_count}"
    ),
}

ERROR = "{error {code, message, hint, details {..}}}"
TESTNET = (
    "{dir, network_id, app, genesis_hash, seconds, nodes [{name, address, dir, url, target, "
    "pid?, state?, role?, epoch?, height?, block_hash?}]}"
)
TESTNET_FILE = "{network_id, app, nodes [{name, address, dir, url}]}"
LOAD = (
    "{ok, seconds, sent, accepted, committed, rejected, refused, undecided, lost, doubled, "
    "ops_per_s, latency_ms {p50, p90, p99, max}}"
)
PUBLIC_KEY = "{publickey}"
SIGNATURE = "{publickey, signature}"
OK = "{ok}"
NODE_INIT = "{dir, address, publickey, instance, url, network_id, files [text]}"
GENESIS = (
    "{file, genesis_hash, network_id, app {name, version int}, n, f, q, "
    "members [{address, publickey, instance, url}], params {..}}"
)
GENESIS_VERIFY = "{ok, findings [text]}"
NODE_INFO = (
    "{address, publickey, epoch, instance, url, height, network_id, genesis_hash, state, role, "
    "block_hash, state_root, proposed_at*?, tip_height, lag_blocks, "
    "last_ballot {height, round, stage, draw}?, handover {..}?, peers, suffrage SUFFRAGE, "
    "broken {cause, way_out}?, split {..}?, ignored_ballots, evidence, "
    "pool {seals, operations, bytes}, version, app {name, version int}, params {..}, "
    "started_at*, signature}"
)
NODE_STOP = "{address, instance, height, seconds}"
NODE_ADOPT = "{address, instance, url}"
RECEIPT = "{ok, seal, state, height?, block_hash?, results [RESULT], seconds}"
SEAL = (
    "{seal, sender, created_at*, expires_at*, size_bytes, signature_ok, "
    "operations [{name, arguments {..}}], data base64}"
)
QUERY = "{name, result? any, type, height, block_hash, state_root, proof {verified}?}"
BLOCK = (
    "{height, block_hash, parent_hash, value_hash, round, proposer?, proposed_at*?, results_root, "
    "state_root, next_suffrage_hash, operations_count, seals [hash], operations [{seal, index, "
    "sender, name, arguments {..}, ok, reason?, events [{name, data {..}}]}], "
    "init_voteproof VP?, accept_voteproof VP?}"
)
BLOCKS = "{blocks [HEADER]}"
VERIFY = (
    "{ok, first_height, last_height, block_hash, state_root, blocks, operations, signatures, "
    "handovers, seconds, bad {height, reason}?}"
)
SUFFRAGE = "SUFFRAGE"
WAITED = "{ok, state, role, epoch, height, seconds}"
CONFIG_CHECK = "{ok, file, findings [{file, line, column, path, message, suggestion?}]}"
CONFIG_SHOW = "{config {..}, origin {..}}"
CONTEXT = "{name, target, sign?}"
CONTEXTS = "{contexts [{name, target, sign?}]}"
SIM_RUN = (
    "{ok, first_seed, last_seed, passed, failed [{seed, checker, height, message, trace}], "
    "handovers, digest, seconds, seeds_per_hour}"
)
SIM_REPLAY = "{ok, seed, checker?, height?, message?, digest}"
VERSION = "{version, protocol int, python, pyzmq, libzmq, pynacl}"
BENCH = (
    "{machine {..}, floor {heights_per_s, runs}, rows [{name, unit, median, runs, goal, met}], "
    "seconds}"
)
APP_NEW = "{files [text]}"
APP_CHECK = (
    "{ok, app, version int, operations [text], queries [text], runs, "
    "findings [{operation, key, message, file?, line?}]}"
)
PEERS = (
    "{peers [{address, instance, role, epoch, url, connected, height?, rtt_ms?, last_seen_at*?, "
    "clock_offset_ms?, queue_messages, dropped, strikes}]}"
)
PREFLIGHT = (
    "{ok, mode, address, instance, live_others, q, margin, "
    "checks [{name, status, code?, message, hint?}]}"
)
HISTORY = "{handovers [SESSION]}"
SESSION = "SESSION"
COSIGN = "{epoch, expires_at*, cosign}"
DEMO = (
    "{ok, network_id, nodes int, seconds, height, "
    "operations {sent, committed, rejected, lost, doubled}, forks, steps [{name, ok, seconds, "
    "missed_ballots?, extra_rounds?, lost_operations, epoch_before?, epoch_after?}]}"
)


def check(answer: dict[str, object], shape: str) -> None:
    """Fail with every deviation at once."""
    assert next(iter(answer.items())) == ("v", 1), answer
    found = deviations(answer, read(shape, KNOWN))
    assert found == [], "\n".join(found)

"""What kind of value a parameter takes: a number, a time, yes or no (postconf(5)).

A program of Postfix that finds another one in main.cf or behind its `-o` ends at its start.
Only the programs that read a parameter notice, some of them not before the next mail. Of
words, lists and tables nothing is said here.
"""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from provisioner.postfix.logical import SPACE, split_list


class Kind(StrEnum):
    """What stands there, in words."""

    NUMBER = "a number"
    TIME = "a time: a number, and s, m, h, d or w behind it"
    BOOLEAN = "yes or no"
    CODE = "a reply code that refuses: three digits, the first 4 or 5"


_NUMBERS = """
address_verify_pending_request_limit address_verify_poll_count berkeley_db_create_buffer_size
berkeley_db_read_buffer_size body_checks_size_limit bounce_size_limit debug_peer_level
default_process_limit delay_logging_resolution_limit deliver_lock_attempts
duplicate_filter_limit fork_attempts hash_queue_depth header_address_token_limit
header_size_limit hopcount_limit initial_destination_concurrency line_length_limit lmdb_map_size
mailbox_size_limit max_use message_size_limit mime_boundary_length_limit mime_nesting_limit
postscreen_client_connection_count_limit postscreen_command_count_limit
postscreen_dnsbl_threshold postscreen_dnsbl_whitelist_threshold postscreen_post_queue_limit
postscreen_pre_queue_limit qmgr_fudge_factor qmgr_message_active_limit
qmgr_message_recipient_minimum queue_file_attribute_count_limit queue_minfree
smtp_connection_reuse_count_limit smtp_line_length_limit smtp_min_data_rate
smtp_mx_address_limit smtp_mx_session_limit smtp_tls_loglevel smtp_tls_scert_verifydepth
smtpd_client_auth_rate_limit smtpd_client_connection_count_limit
smtpd_client_connection_rate_limit smtpd_client_ipv4_prefix_length
smtpd_client_ipv6_prefix_length smtpd_client_message_rate_limit
smtpd_client_new_tls_session_rate_limit smtpd_client_recipient_rate_limit smtpd_hard_error_limit
smtpd_history_flush_threshold smtpd_junk_command_limit smtpd_min_data_rate
smtpd_policy_service_request_limit smtpd_policy_service_try_limit
smtpd_recipient_overshoot_limit smtpd_sasl_response_limit smtpd_soft_error_limit
smtpd_tls_ccert_verifydepth smtpd_tls_loglevel socketmap_max_reply_size tcp_windowsize
tls_daemon_random_bytes tls_random_bytes tlsproxy_client_loglevel
tlsproxy_client_scert_verifydepth tlsproxy_tls_ccert_verifydepth tlsproxy_tls_loglevel
virtual_alias_address_length_limit virtual_alias_expansion_limit virtual_alias_recursion_limit
virtual_mailbox_limit virtual_minimum_uid
"""
_TIMES = """
address_verify_cache_cleanup_interval address_verify_negative_expire_time
address_verify_negative_refresh_time address_verify_poll_delay
address_verify_positive_expire_time address_verify_positive_refresh_time
address_verify_sender_ttl anvil_rate_time_unit anvil_status_update_time
application_event_drain_time bounce_queue_lifetime connection_cache_protocol_timeout
connection_cache_status_update_time connection_cache_ttl_limit daemon_timeout delay_warning_time
deliver_lock_delay dnsblog_reply_delay fast_flush_purge_time fast_flush_refresh_time fork_delay
in_flow_delay ipc_idle ipc_timeout ipc_ttl lmtp_lhlo_timeout max_idle maximal_backoff_time
maximal_queue_lifetime milter_command_timeout milter_connect_timeout milter_content_timeout
minimal_backoff_time postlogd_watchdog_timeout postscreen_bare_newline_ttl
postscreen_cache_cleanup_interval postscreen_cache_retention_time postscreen_dnsbl_min_ttl
postscreen_dnsbl_timeout postscreen_greet_ttl postscreen_greet_wait
postscreen_non_smtp_command_ttl postscreen_pipelining_ttl postscreen_upstream_proxy_timeout
postscreen_watchdog_timeout qmgr_clog_warn_time qmgr_daemon_timeout qmgr_ipc_timeout
qmqpd_error_delay qmqpd_timeout queue_run_delay service_throttle_time smtp_connect_timeout
smtp_data_done_timeout smtp_data_init_timeout smtp_data_xfer_timeout smtp_helo_timeout
smtp_mail_timeout smtp_pix_workaround_delay_time smtp_pix_workaround_threshold_time
smtp_quit_timeout smtp_rcpt_timeout smtp_rset_timeout smtp_sasl_auth_cache_time
smtp_starttls_timeout smtp_tls_session_cache_timeout smtp_xforward_timeout
smtpd_error_sleep_time smtpd_policy_service_max_idle smtpd_policy_service_max_ttl
smtpd_policy_service_retry_delay smtpd_policy_service_timeout smtpd_proxy_timeout
smtpd_starttls_timeout smtpd_timeout smtpd_tls_session_cache_timeout
smtpd_upstream_proxy_timeout stale_lock_time tls_random_prng_update_period
tls_random_reseed_period tlsproxy_watchdog_timeout transport_retry_time trigger_timeout
"""
_BOOLEANS = """
address_verify_negative_cache allow_min_user allow_percent_hack allow_srv_lookup_fallback
allow_untrusted_routing always_add_missing_headers append_at_myorigin append_dot_mydomain
backwards_bounce_logfile_compatibility biff broken_sasl_auth_clients cleanup_replace_stray_cr_lf
confirm_delay_cleared daemon_table_open_error_is_fatal destination_concurrency_feedback_debug
detect_8bit_encoding_header disable_dns_lookups disable_mime_input_processing
disable_mime_output_conversion disable_verp_bounces disable_vrfy_command
dns_ncache_ttl_fix_enable enable_idna2003_compatibility enable_long_queue_ids
enable_original_recipient enable_threaded_bounces expand_owner_alias force_mime_input_conversion
frozen_delivered_to helpful_warnings ignore_mx_lookup_error ignore_srv_lookup_error
lmtp_assume_final multi_instance_enable non_bdb_migration_log_redirect owner_request_special
postscreen_bare_newline_enable postscreen_disable_vrfy_command postscreen_enforce_tls
postscreen_helo_required postscreen_non_smtp_command_enable postscreen_pipelining_enable
postscreen_use_tls qmqpd_client_port_logging relocated_prefix_enable require_home_directory
requiretls_enable requiretls_esmtp_header requiretls_redact_dsn reset_owner_alias
resolve_dequoted_address resolve_null_domain resolve_numeric_domain respectful_logging
send_cyrus_sasl_authzid show_user_unknown_table_name smtp_always_send_ehlo
smtp_balance_inet_protocols smtp_bind_address_enforce smtp_cname_overrides_servername
smtp_connection_cache_on_demand smtp_defer_if_no_mx_address_found smtp_enforce_tls
smtp_log_tls_feature_status smtp_never_send_ehlo smtp_per_record_deadline
smtp_quote_rfc821_envelope smtp_randomize_addresses smtp_sasl_auth_enable
smtp_sasl_auth_soft_bounce smtp_send_dummy_mail_auth smtp_send_xforward_command
smtp_sender_dependent_authentication smtp_skip_5xx_greeting smtp_skip_quit_response
smtp_tls_block_early_mail_reply smtp_tls_connection_reuse smtp_tls_enable_rpk
smtp_tls_enforce_peername smtp_tls_enforce_sts_mx_patterns
smtp_tls_force_insecure_host_tlsa_lookup smtp_tls_note_starttls_offer smtp_tls_wrappermode
smtp_tlsrpt_enable smtp_tlsrpt_skip_reused_handshakes smtp_use_tls smtpd_client_port_logging
smtpd_delay_open_until_valid_rcpt smtpd_delay_reject smtpd_enforce_tls
smtpd_forbid_unauth_pipelining smtpd_helo_required smtpd_hide_client_session
smtpd_peername_lookup smtpd_per_record_deadline smtpd_reject_unlisted_recipient
smtpd_reject_unlisted_sender smtpd_relay_before_recipient_restrictions smtpd_sasl_auth_enable
smtpd_sasl_authenticated_header smtpd_tls_always_issue_session_ids smtpd_tls_ask_ccert
smtpd_tls_auth_only smtpd_tls_enable_rpk smtpd_tls_received_header smtpd_tls_req_ccert
smtpd_tls_wrappermode smtpd_use_tls smtputf8_enable soft_bounce strict_7bit_headers
strict_8bitmime strict_8bitmime_body strict_mailbox_ownership strict_mime_encoding_domain
strict_rfc821_envelopes strict_smtputf8 sun_mailtool_compatibility swap_bangpath
tls_append_default_CA tls_fast_shutdown_enable tls_legacy_public_key_fingerprints
tls_preempt_cipherlist tls_required_enable tls_wildcard_matches_multiple_labels
tlsproxy_client_enforce_tls tlsproxy_client_use_tls tlsproxy_enforce_tls
tlsproxy_tls_always_issue_session_ids tlsproxy_tls_ask_ccert tlsproxy_tls_enable_rpk
tlsproxy_tls_req_ccert tlsproxy_use_tls
"""
_NAMED = {
    **dict.fromkeys(_NUMBERS.split(), Kind.NUMBER),
    **dict.fromkeys(_TIMES.split(), Kind.TIME),
    **dict.fromkeys(_BOOLEANS.split(), Kind.BOOLEAN),
}
NAMED = frozenset(_NAMED)
"""The parameters whose kind is known by their whole name."""

_NUMBERS_OF_TRANSPORTS = """
_delivery_slot_cost _delivery_slot_discount _delivery_slot_loan
_destination_concurrency_failed_cohort_limit _destination_concurrency_limit
_destination_recipient_limit _extra_recipient_limit _initial_destination_concurrency
_minimum_delivery_slots _recipient_limit _recipient_refill_limit
"""
_TIMES_OF_TRANSPORTS = """
_destination_rate_delay _recipient_refill_delay _time_limit _transport_rate_delay
"""
OF_TRANSPORTS = {
    **dict.fromkeys(_NUMBERS_OF_TRANSPORTS.split(), Kind.NUMBER),
    **dict.fromkeys(_TIMES_OF_TRANSPORTS.split(), Kind.TIME),
}
"""Of each transport of master.cf there is one of those (`smtp_destination_recipient_limit`)."""

_CODE = re.compile(r"(?:.+_)?(?:reject|defer)_code")
_FORMS = {
    Kind.NUMBER: re.compile(r"[+-]?[0-9]+"),
    Kind.TIME: re.compile(r"\+?[0-9]+[smhdw]?"),
    Kind.BOOLEAN: re.compile(r"yes|no", re.IGNORECASE),
    Kind.CODE: re.compile(r"[45][0-9][0-9]"),
}
#: The smallest limit, in bytes, that is taken as meant: the header alone of most mail is longer.
SMALLEST_MESSAGE = 4096


def kind_of(name: str) -> Kind | None:
    """What kind of value `name` takes; None for words, lists, tables and the unknown."""
    found = _NAMED.get(name)
    if found is None and name.startswith("lmtp_"):  # lmtp(8) has nearly all of smtp(8)'s
        found = _NAMED.get(f"smtp_{name.removeprefix('lmtp_')}")
    if found is None:
        # What stands before is the transport.
        ends = (kind for end, kind in OF_TRANSPORTS.items() if name.endswith(end) and name != end)
        found = next(ends, Kind.CODE if _CODE.fullmatch(name) else None)
    return found


def fault(name: str, value: str) -> tuple[str, str]:
    """What is wrong with a value, and the advice; ("", "") if nothing is known to be.

    A value that refers to others (`$name`) is not looked at: they are the host's.
    """
    text = value.strip(SPACE)
    if "$" in text:
        return "", ""
    kind = kind_of(name)
    if kind and not _FORMS[kind].fullmatch(text):
        why = "it would refuse nobody" if kind is Kind.CODE else "Postfix cannot read that"
        return f"{name} = {text}: {why}", f"it takes {kind}"
    if name == "message_size_limit" and 0 < int(text) < SMALLEST_MESSAGE:
        return (
            f"{name} = {text}: no mail is that small, all would be refused",
            f"the limit is in bytes, 0 means none; from {SMALLEST_MESSAGE} on it is taken as meant",
        )
    if name.endswith("_upstream_proxy_protocol") and text not in ("", "haproxy"):
        return f"{name} = {text}: Postfix knows no such protocol", "it takes haproxy, or nothing"
    if name == "mynetworks":
        return _wide_network(text)
    return "", ""


#: Networks that are nobody's on the Internet, however wide.
_INSIDE = [
    ip_network(each)
    for each in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "fe80::/10")
]
#: The longest prefix of a network that is no one company's: of over a million addresses.
_WIDE = {4: 11, 6: 19}


def _wide_network(value: str) -> tuple[str, str]:
    """Who may relay is seldom a whole provider with all its customers."""
    for word in split_list(value):
        network = _network(word)
        if network is None or network.prefixlen > _WIDE[network.version]:
            continue
        if any(network.version == e.version and network.subnet_of(e) for e in _INSIDE):  # type: ignore[arg-type]
            continue
        most = _WIDE[network.version] + 1
        return (
            f"mynetworks has {word}: everybody in it could relay through this host",
            f"name your own networks; if all of it is yours, write it in networks of /{most}",
        )
    return "", ""


def _network(word: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(word.translate({ord("["): None, ord("]"): None}))
    except ValueError:
        return None  # an exception (`!`), a name, a table, or what Postfix itself refuses

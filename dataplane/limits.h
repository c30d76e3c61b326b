/* Every bound of weir in one place. Each queue, table and loop that a peer or a configuration drives names its bound
 * here; a bound that the API lets an operator set is only the default. */
#ifndef WEIR_LIMITS_H
#define WEIR_LIMITS_H

/* Workers: --concurrency beyond it is cut, with a warning. */
#define WEIR_WORKERS_MAX 256

/* Headers, as Envoy's defaults (HttpConnectionManager.max_request_headers_kb, HttpProtocolOptions.max_headers_count). */
#define WEIR_REQUEST_HEADERS_KIB_DEFAULT 60
#define WEIR_HEADERS_COUNT_DEFAULT 100
/* Bytes that one header map may ever hold, whatever is configured (HttpConnectionManager allows at most 8192 KiB). */
#define WEIR_HEADERS_BYTES_MAX (8192u * 1024u)

/* Buffers: per_connection_buffer_limit_bytes and the blocks that sockets read into. */
#define WEIR_BUFFER_LIMIT_DEFAULT (1024u * 1024u)
#define WEIR_BLOCK_BYTES 16384u
#define WEIR_BLOCK_BYTES_MAX (256u * 1024u)
#define WEIR_READ_BUDGET_BYTES (256u * 1024u) /* one socket, one loop turn */
#define WEIR_STREAM_ARENA_BYTES 8176u           /* first chunk of a stream's arena: most requests need no other */
#define WEIR_BLOCK_POOL_MAX 256               /* free blocks that a worker keeps */

/* Accepts of one listening socket in one loop turn. */
#define WEIR_ACCEPTS_PER_TURN 64
/* A ClientHello that is looked at before a filter chain is chosen (TlsInspector.max_client_hello_size), and the same with the
 * heads of the records it may be cut into. */
#define WEIR_HELLO_BYTES_MAX 16384u
#define WEIR_HELLO_WIRE_BYTES_MAX (WEIR_HELLO_BYTES_MAX + 4096u)
/* All that may come before a filter chain is chosen, and a PROXY header of version 2 with what it carries. */
#define WEIR_PEEK_BYTES_MAX 65536u
#define WEIR_PROXY_HEADER_BYTES_MAX 16384u
/* Ends of the port ranges that one ListenerFilter.filter_disabled names. */
#define WEIR_PORT_BOUNDS_MAX 1024u
/* Inner nodes of one listener's chain match: the product of what its chains name. */
#define WEIR_CHAIN_MATCH_NODES_MAX 1000000u

/* A connection that was given up with bytes still to be written is closed once its peer has taken none for so long (or for the
 * delayed_close_timeout, where that is longer); the last bytes of a tunnel, which nobody would ask for again, wait longer. */
#define WEIR_UNWRITTEN_STALL_MS 1000u
#define WEIR_TUNNEL_STALL_MS 60000u
/* How long the end of the process waits for such bytes after the time that connections had to end. */
#define WEIR_UNFLUSHED_WAIT_MS 5000u

/* HTTP/1 */
#define WEIR_H1_CHUNK_LINE_BYTES_MAX 1024 /* size and extensions of one chunk */
#define WEIR_H1_CHUNK_OVERHEAD_BYTES_MAX 16384 /* chunk lines of one body beyond what its data explains */
#define WEIR_H1_METHOD_BYTES_MAX 64
#define WEIR_H1_INFORMATIONAL_MAX 32 /* 1xx before one response */
#define WEIR_H1_CONNECTION_TOKENS_MAX 10 /* headers that one message's Connection may name, as Envoy */
#define WEIR_H1_TURN_REQUESTS_MAX 16 /* pipelined requests begun in one call of output() */
#define WEIR_H1_PIPELINED_BYTES_MAX WEIR_BUFFER_LIMIT_DEFAULT

/* HTTP/2 (RFC 9113; floods as Http2ProtocolOptions bounds them). */
#define WEIR_H2_CONCURRENT_STREAMS_DEFAULT 1024
#define WEIR_H2_STREAM_WINDOW_DEFAULT (256u * 1024u)
#define WEIR_H2_CONNECTION_WINDOW_DEFAULT (1024u * 1024u)
#define WEIR_H2_OUTBOUND_FRAMES_MAX 10000
#define WEIR_H2_OUTBOUND_CONTROL_FRAMES_MAX 1000
#define WEIR_H2_CONSECUTIVE_EMPTY_FRAMES_MAX 1
#define WEIR_H2_PRIORITIES_PER_STREAM_MAX 100
#define WEIR_H2_WINDOW_UPDATES_PER_DATA_MAX 10
#define WEIR_H2_HEADER_TABLE_DEFAULT 4096
/* Streams that were reset before they got an answer, within a second of their start: half of so many close the connection, and
 * so does more than half of all streams once there were so many. */
#define WEIR_H2_PREMATURE_RESETS_TOTAL 500
#define WEIR_H2_PREMATURE_NS 1000000000u
#define WEIR_H2_ID_GAPS_MAX 8   /* ranges of skipped stream ids that are remembered */
#define WEIR_H2_RESETS_KEPT 32  /* streams of which we remember that we reset them */
#define WEIR_H2_INFORMATIONAL_MAX 32 /* 1xx before one response */
#define WEIR_H2_OUTPUT_BYTES_MAX (256u * 1024u) /* one call of output() */
#define WEIR_H2_COPY_BYTES_MAX 2048 /* DATA up to here is copied beside its frame header, more is moved */

/* Configuration */
/* A file that is written in place may be read half-written: one that breaks is looked at again after so long, until it has
 * stayed the same that long, before anything is said of it. */
#define WEIR_FILE_SETTLE_MS 1000u
#define WEIR_FILE_LOOKS_MAX 60u
#define WEIR_PB_DEPTH_MAX 100
#define WEIR_PB_EXPANDED_BYTES_MAX (256u * 1024u * 1024u) /* one resource, unpacked */
#define WEIR_YAML_DEPTH_MAX 100
#define WEIR_YAML_NODES_MAX 8000000 /* after anchors are expanded */
#define WEIR_YAML_BYTES_MAX (512u * 1024u * 1024u)
#define WEIR_HEADER_RULES_MAX 1000 /* HeaderValueOption lists, as the API says */
#define WEIR_DATA_SOURCE_BYTES_MAX (16u * 1024u * 1024u) /* a file that a configuration names */
#define WEIR_XDS_MESSAGE_BYTES_MAX (256u * 1024u * 1024u)
#define WEIR_INITIAL_FETCH_TIMEOUT_MS_DEFAULT 15000 /* ConfigSource.initial_fetch_timeout */
#define WEIR_SUPPORT_NOTES_MAX 100   /* log lines on one deprecated or unfinished field */
#define WEIR_SUPPORT_UNKNOWN_MAX 1024 /* kinds of unknown fields that are told apart */
#define WEIR_CLUSTERS_MAX 1000000
#define WEIR_REGEX_PROGRAM_SIZE_DEFAULT 100

/* Clusters (CircuitBreakers.Thresholds, Envoy's defaults). */
#define WEIR_BREAKER_CONNECTIONS_DEFAULT 1024
#define WEIR_BREAKER_PENDING_DEFAULT 1024
#define WEIR_BREAKER_REQUESTS_DEFAULT 1024
#define WEIR_BREAKER_RETRIES_DEFAULT 3
#define WEIR_RETRY_BUDGET_PERCENT_DEFAULT 20
#define WEIR_RETRY_BUDGET_MIN_DEFAULT 3u
#define WEIR_ORIGINAL_DST_HOSTS_MAX 16384 /* of one ORIGINAL_DST cluster on one worker */

/* Filters */
#define WEIR_LOCAL_RATE_LIMIT_BUCKETS_DEFAULT 20
#define WEIR_LOCAL_RATE_LIMIT_BUCKETS_MAX 100000
#define WEIR_FILTERS_MAX 64 /* of one chain */

/* Counters made while running (such as upstream_rq_503), of one set and worker. */
#define WEIR_STATS_NAMED_MAX 1200

/* Mailboxes, logs */
#define WEIR_ACCESS_LOG_QUEUE_BYTES_MAX (4u * 1024u * 1024u)

#endif

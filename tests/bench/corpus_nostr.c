/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * corpus_nostr: events as a relay stores them, as JSON lines and as notepack frames.
 *
 * The mix is that of a public relay: notes, reactions, encrypted messages (base64), zaps (an
 * invoice and the request within a tag), lists of relays. Some authors write much more than
 * others, and events refer to recent ones: both are what gzip finds in real segments.
 *
 * A frame: length (32 bits, little-endian), version 1, id, pubkey, sig, created_at, kind, content,
 * tags; numbers are LEB128, an element of a tag is its length << 1 | is_bytes and the bytes:
 * hexadecimal is stored as what it stands for.
 */
#include <string.h>

#include "tests/bench/corpus.h"

#define AUTHORS 5000
#define RECENT 4096
#define MAX_TAGS 24
#define MAX_ELEMENTS 4

struct element {
	const char *text; /* NULL: the 32 bytes below */
	size_t len;
	uint8_t bytes[32];
};

struct tag {
	size_t count;
	struct element elements[MAX_ELEMENTS];
};

struct event {
	uint8_t id[32], pubkey[32], sig[64];
	uint64_t created_at;
	unsigned kind;
	struct record_text content, description;
	char invoice[320];
	size_t tag_count;
	struct tag tags[MAX_TAGS];
};

static struct {
	bool made;
	uint8_t authors[AUTHORS][32];
	uint8_t recent[RECENT][32];
	uint64_t events, now;
} relay;

static const char *const relays[] = {"wss://relay.example.com",	 "wss://nos.example.org",
				     "wss://relay.primal.test",	 "wss://purple.example.net",
				     "wss://relay.snort.test/",	 "wss://eden.example.com/v1",
				     "wss://nostr.wine.example", "wss://offchain.example.pub"};

static const uint8_t *author(struct rng *r)
{
	return relay.authors[rng_skewed(r, AUTHORS, 4)];
}

/* The id of a recent event, or of one that this relay never saw. */
static void some_id(struct rng *r, uint8_t out[32])
{
	if (relay.events > 0 && rng_percent(r, 75)) {
		size_t known = relay.events < RECENT ? (size_t)relay.events : RECENT;
		uint64_t back = 1 + rng_skewed(r, known, 3);

		memcpy(out, relay.recent[(relay.events - back) % RECENT], 32);
	} else {
		rng_bytes(r, out, 32);
	}
}

static struct tag *new_tag(struct event *e, const char *name)
{
	struct tag *t = &e->tags[e->tag_count++];

	t->count = 1;
	t->elements[0].text = name;
	t->elements[0].len = strlen(name);
	return t;
}

static void add_text(struct tag *t, const char *text, size_t len)
{
	t->elements[t->count].text = text;
	t->elements[t->count++].len = len;
}

static void add_bytes(struct tag *t, const uint8_t bytes[32])
{
	t->elements[t->count].text = NULL;
	memcpy(t->elements[t->count++].bytes, bytes, 32);
}

static void refer_to_event(struct event *e, struct rng *r)
{
	struct tag *t = new_tag(e, "e");
	uint8_t id[32];

	some_id(r, id);
	add_bytes(t, id);
	if (rng_percent(r, 40)) {
		const char *where = relays[rng_below(r, 8)];

		add_text(t, where, strlen(where));
	}
}

static void refer_to_author(struct event *e, struct rng *r)
{
	add_bytes(new_tag(e, "p"), author(r));
}

static void make_note(struct event *e, struct rng *r)
{
	e->kind = 1;
	text_words(&e->content, r, 20 + rng_skewed(r, 1220, 2));
	if (rng_percent(r, 20)) {
		uint8_t hash[32];

		rng_bytes(r, hash, sizeof(hash));
		text_put(&e->content, " https://image.example.com/");
		text_hex(&e->content, hash, sizeof(hash));
		text_put(&e->content, ".jpg");
	}
	for (uint64_t n = rng_below(r, 3); n > 0; n--)
		refer_to_event(e, r);
	for (uint64_t n = rng_below(r, 4); n > 0; n--)
		refer_to_author(e, r);
}

static void make_reaction(struct event *e, struct rng *r)
{
	e->kind = 7;
	text_put(&e->content, rng_percent(r, 70) ? "+" : "\xf0\x9f\x91\x8d");
	refer_to_event(e, r);
	refer_to_author(e, r);
}

static void make_message(struct event *e, struct rng *r)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = 4 * (150 + rng_below(r, 550));

	e->kind = 1059;
	rng_bytes(r, e->pubkey, sizeof(e->pubkey));
	while (len-- > 0)
		text_add(&e->content, &digits[rng_below(r, 64)], 1);
	refer_to_author(e, r);
}

static void make_zap(struct event *e, struct rng *r)
{
	static const char digits[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	size_t len = 230 + rng_below(r, 70);
	uint8_t bytes[64];

	e->kind = 9735;
	refer_to_author(e, r);
	refer_to_event(e, r);
	for (size_t i = 0; i < len; i++)
		e->invoice[i] = digits[rng_below(r, 32)];
	memcpy(e->invoice, "lnbc210n1p", 10);
	add_text(new_tag(e, "bolt11"), e->invoice, len);
	text_put(&e->description, "{\"id\":\"");
	rng_bytes(r, bytes, 32);
	text_hex(&e->description, bytes, 32);
	text_put(&e->description, "\",\"pubkey\":\"");
	text_hex(&e->description, author(r), 32);
	text_format(&e->description,
		    "\",\"created_at\":%llu,\"kind\":9734,\"tags\":[[\"relays\"",
		    (unsigned long long)relay.now - 3);
	for (int i = 0; i < 4; i++)
		text_format(&e->description, ",\"%s\"", relays[i]);
	text_put(&e->description, "]],\"content\":\"\",\"sig\":\"");
	rng_bytes(r, bytes, 64);
	text_hex(&e->description, bytes, 64);
	text_put(&e->description, "\"}");
	add_text(new_tag(e, "description"), e->description.data, e->description.used);
}

static void make_relay_list(struct event *e, struct rng *r)
{
	e->kind = 10002;
	for (uint64_t n = 2 + rng_below(r, 6); n > 0; n--) {
		const char *where = relays[rng_below(r, 8)];

		add_text(new_tag(e, "r"), where, strlen(where));
	}
}

static void make_event(struct event *e, struct rng *r)
{
	uint64_t which;

	if (!relay.made) {
		relay.made = true;
		relay.now = 1720000000;
		rng_bytes(r, relay.authors[0], sizeof(relay.authors));
	}
	relay.now += rng_percent(r, 40);
	e->content.used = e->description.used = 0;
	e->tag_count = 0;
	e->created_at = relay.now - rng_below(r, 30);
	rng_bytes(r, e->id, sizeof(e->id));
	rng_bytes(r, e->sig, sizeof(e->sig));
	memcpy(e->pubkey, author(r), sizeof(e->pubkey));
	which = rng_below(r, 100);
	if (which < 46)
		make_note(e, r);
	else if (which < 73)
		make_reaction(e, r);
	else if (which < 83)
		make_message(e, r);
	else if (which < 94)
		make_zap(e, r);
	else
		make_relay_list(e, r);
	memcpy(relay.recent[relay.events++ % RECENT], e->id, sizeof(e->id));
}

/* ---- as a JSON line ---- */

/* Of what JSON escapes, the quotes of a zap's request are all that there is. */
static void json_string(struct record_text *t, const char *text, size_t len)
{
	text_put(t, "\"");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			text_put(t, "\\");
		text_add(t, text + i, 1);
	}
	text_put(t, "\"");
}

static void json_tag(struct record_text *t, const struct tag *tag)
{
	for (size_t i = 0; i < tag->count; i++) {
		const struct element *e = &tag->elements[i];

		text_put(t, i ? "," : "[");
		if (e->text) {
			json_string(t, e->text, e->len);
		} else {
			text_put(t, "\"");
			text_hex(t, e->bytes, sizeof(e->bytes));
			text_put(t, "\"");
		}
	}
	text_put(t, "]");
}

void corpus_jsonl(struct rng *r, struct record_text *t)
{
	static struct event e;

	make_event(&e, r);
	text_put(t, "{\"id\":\"");
	text_hex(t, e.id, sizeof(e.id));
	text_put(t, "\",\"pubkey\":\"");
	text_hex(t, e.pubkey, sizeof(e.pubkey));
	text_format(t, "\",\"created_at\":%llu,\"kind\":%u,\"tags\":[",
		    (unsigned long long)e.created_at, e.kind);
	for (size_t i = 0; i < e.tag_count; i++) {
		if (i)
			text_put(t, ",");
		json_tag(t, &e.tags[i]);
	}
	text_put(t, "],\"content\":");
	json_string(t, e.content.data, e.content.used);
	text_put(t, ",\"sig\":\"");
	text_hex(t, e.sig, sizeof(e.sig));
	text_put(t, "\"}\n");
}

/* ---- as a notepack frame ---- */

static void varint(struct record_text *t, uint64_t value)
{
	for (;;) {
		uint8_t byte = value & 0x7f;

		value >>= 7;
		if (value)
			byte |= 0x80;
		text_add(t, &byte, 1);
		if (!value)
			return;
	}
}

static void frame_tag(struct record_text *t, const struct tag *tag)
{
	varint(t, tag->count);
	for (size_t i = 0; i < tag->count; i++) {
		const struct element *e = &tag->elements[i];

		varint(t, e->text ? e->len << 1 : sizeof(e->bytes) << 1 | 1);
		if (e->text)
			text_add(t, e->text, e->len);
		else
			text_add(t, e->bytes, sizeof(e->bytes));
	}
}

void corpus_notepack(struct rng *r, struct record_text *t)
{
	static struct event e;
	uint8_t length[4] = {0};

	make_event(&e, r);
	text_add(t, length, sizeof(length));
	varint(t, 1);
	text_add(t, e.id, sizeof(e.id));
	text_add(t, e.pubkey, sizeof(e.pubkey));
	text_add(t, e.sig, sizeof(e.sig));
	varint(t, e.created_at);
	varint(t, e.kind);
	varint(t, e.content.used);
	text_add(t, e.content.data, e.content.used);
	varint(t, e.tag_count);
	for (size_t i = 0; i < e.tag_count; i++)
		frame_tag(t, &e.tags[i]);
	for (size_t i = 0; i < sizeof(length); i++)
		t->data[i] = (char)((t->used - sizeof(length)) >> 8 * i);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * corpus_log: a web server's access log in the combined format, with syslog lines between.
 *
 * Addresses, pages and browsers recur, some much more often than others; requests' ids do not.
 */
#include <stdio.h>
#include <time.h>

#include "tests/bench/corpus.h"

#define ADDRESSES 8000
#define PAGES 3000
#define PAGE_BYTES 96

static struct {
	bool made;
	uint64_t now_ms;
	uint32_t addresses[ADDRESSES];
	char pages[PAGES][PAGE_BYTES];
} site;

static const char *const browsers[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/7.88.1",
    "Go-http-client/1.1",
};

static void make_site(struct rng *r)
{
	static const char *const parts[] = {
	    "api",   "users",  "posts", "feed",	   "images", "static",	"v1",	  "search",
	    "relay", "events", "media", "profile", "upload", "archive", "health", "metrics"};

	site.made = true;
	site.now_ms = UINT64_C(1720000000000);
	for (size_t i = 0; i < ADDRESSES; i++)
		site.addresses[i] = (uint32_t)rng_next(r);
	for (size_t i = 0; i < PAGES; i++) {
		size_t used = 0;

		for (uint64_t n = 1 + rng_below(r, 4); n > 0; n--)
			used += (size_t)snprintf(site.pages[i] + used, PAGE_BYTES - used, "/%s",
						 parts[rng_below(r, 16)]);
	}
}

static void put_address(struct rng *r, struct record_text *t)
{
	uint32_t a = site.addresses[rng_skewed(r, ADDRESSES, 3)];

	text_format(t, "%u.%u.%u.%u", 1 + (a >> 24) % 223, a >> 16 & 255, a >> 8 & 255,
		    1 + (a & 255) % 254);
}

static void put_time(struct record_text *t, bool in_syslog)
{
	time_t seconds = (time_t)(site.now_ms / 1000);
	char text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	if (in_syslog)
		strftime(text, sizeof(text), "%b %e %H:%M:%S ", &tm);
	else
		strftime(text, sizeof(text), " - - [%d/%b/%Y:%H:%M:%S +0000] \"", &tm);
	text_put(t, text);
}

static void put_request(struct rng *r, struct record_text *t)
{
	static const unsigned status[] = {200, 200, 200, 200, 200, 200,
					  200, 200, 304, 404, 301, 502};
	uint8_t id[8];

	put_address(r, t);
	put_time(t, false);
	text_put(t, rng_percent(r, 90) ? "GET " : "POST ");
	text_put(t, site.pages[rng_skewed(r, PAGES, 3)]);
	if (rng_percent(r, 37))
		text_format(t, "/%u", (unsigned)rng_below(r, 1000000));
	if (rng_percent(r, 25))
		text_format(t, "?id=%u&page=%u", (unsigned)rng_below(r, 10000000),
			    (unsigned)rng_below(r, 20));
	text_format(t, " HTTP/1.1\" %u %u \"", status[rng_below(r, 12)],
		    (unsigned)(200 + rng_skewed(r, 60000, 3)));
	if (rng_percent(r, 50))
		text_format(t, "https://example.com%s", site.pages[rng_skewed(r, 200, 2)]);
	else
		text_put(t, "-");
	rng_bytes(r, id, sizeof(id));
	text_format(t, "\" \"%s\" rt=0.%03u req_id=", browsers[rng_skewed(r, 7, 2)],
		    (unsigned)rng_skewed(r, 1000, 3));
	text_hex(t, id, sizeof(id));
	text_put(t, "\n");
}

static void put_syslog(struct rng *r, struct record_text *t)
{
	put_time(t, true);
	text_format(t, "web%02u ", (unsigned)(1 + rng_below(r, 3)));
	switch (rng_below(r, 3)) {
	case 0:
		text_format(t, "sshd[%u]: Failed password for invalid user admin from ",
			    (unsigned)(1000 + rng_below(r, 60000)));
		put_address(r, t);
		text_format(t, " port %u ssh2\n", (unsigned)(1024 + rng_below(r, 64000)));
		break;
	case 1:
		text_format(t,
			    "CRON[%u]: (root) CMD (   cd / && run-parts --report "
			    "/etc/cron.hourly)\n",
			    (unsigned)(1000 + rng_below(r, 60000)));
		break;
	default:
		text_format(t, "systemd[1]: Started Session %u of user deploy.\n",
			    (unsigned)rng_below(r, 100000));
	}
}

void corpus_log(struct rng *r, struct record_text *t)
{
	if (!site.made)
		make_site(r);
	site.now_ms += rng_below(r, 34);
	if (rng_percent(r, 85))
		put_request(r, t);
	else
		put_syslog(r, t);
}

/* What request.c and fetch.c share about libcurl: the only header here that shows it. */
#ifndef HUB_REQUEST_INT_H
#define HUB_REQUEST_INT_H

#include "hub/hub_int.h"
#include <curl/curl.h>

#define MAX_REDIRECTS 10

/* Everything that all requests have in common; the token only goes to the endpoint. */
void request_prepare(const struct session *s, CURL *easy, struct reply *r, const char *url,
                     char curl_error[CURL_ERROR_SIZE]);
/* Status and redirect of a request that has ended. */
void request_ended(CURL *easy, struct reply *r);
/* Of one that got no answer. */
MUST_CHECK enum status explain_curl(const struct session *s, CURLcode code, const char *curl_error,
                                    const char *url, struct err *e);
/* Milliseconds before the n-th new try, n from 1. */
uint64_t backoff_ms(unsigned n);
/* Whether the same request may go better later. */
bool reply_may_pass(const struct reply *r);

#endif

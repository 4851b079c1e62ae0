#include "scripted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int scripted_start(struct cert_source *base, const char *csr_pem, cert_source_done *done,
                          void *owner, struct err *err)
{
    struct scripted *source = (struct scripted *)base;
    assert_null(source->done);
    assert_int_equal(csr_pem != NULL, base->wants_csr);
    source->num_fetches++;
    if (source->refuses_to_start)
        return err_set(err, ERR_SYSTEM, "no descriptor");
    source->done = done;
    source->owner = owner;
    free(source->csr);
    source->csr = csr_pem == NULL ? NULL : strdup(csr_pem);
    return 0;
}

static void scripted_cancel(struct cert_source *base)
{
    struct scripted *source = (struct scripted *)base;
    source->num_cancels += source->done != NULL;
    source->done = NULL;
}

static void scripted_free(struct cert_source *base)
{
    struct scripted *source = (struct scripted *)base;
    if (source->freed != NULL)
        *source->freed = true;
    free(source->csr);
    free(source);
}

struct scripted *scripted_new(bool wants_csr)
{
    static const struct cert_source_ops OPS = {scripted_start, scripted_cancel, scripted_free};
    struct scripted *source = calloc(1, sizeof(*source));
    assert_non_null(source);
    source->base.ops = &OPS;
    source->base.name = "script";
    source->base.wants_csr = wants_csr;
    return source;
}

static void answer_with(struct scripted *source, const struct cert_fetched *fetched,
                        const struct err *err)
{
    cert_source_done *done = source->done;
    assert_non_null(done);
    source->done = NULL;
    done(source->owner, fetched, err);
}

void scripted_answer_err(struct scripted *source, enum err_kind kind)
{
    struct err err;
    err_set(&err, kind, "scripted");
    answer_with(source, NULL, &err);
}

void scripted_answer(struct scripted *source, const struct cert_fetched *fetched)
{
    answer_with(source, fetched, NULL);
}

void scripted_answer_pem(struct scripted *source, const char *key, const char *chain,
                         const char *roots)
{
    const struct cert_fetched fetched = {
        .chain = {.bytes = chain, .len = strlen(chain)},
        .roots = {.bytes = roots, .len = strlen(roots)},
        .key = {.bytes = key, .len = key == NULL ? 0 : strlen(key)},
    };
    answer_with(source, &fetched, NULL);
}

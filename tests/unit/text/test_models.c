/* The models of tokenizer.json on vocabularies of a few tokens: ids and offsets as the library gives them.
 *
 * In the documents ' stands for ", so that they can be read. */
#include "text/tokenizer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEGABYTE 1000000u

struct model_case {
    const char *model; /* NULL: the one of the row before */
    bool split;        /* at white space */
    const char *text;
    const char *tokens; /* "id@start-stop ..."; NULL: the text is refused */
};

static const struct model_case cases[] = {
    /* the best sum; unknown characters are one token */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0],['a',0],['b',0],['c',0],['d',0],['cd',1],['ab',2],['"
     "abc',5],['abcd',10]]}",
     false, "abcdacdxx", "8@0-4 1@4-5 5@5-7 0@7-9"},
    {NULL, false, "xxa<unk>", "0@0-2 1@2-3 0@3-8"},
    {NULL, false, "a🙂é中a", "1@0-1 0@1-10 1@10-11"},
    {NULL, false, "<unk>x", "0@0-6"},
    /* equal sums: the first offer stays, the longest token */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0],['a',-1],['b',-1],['ab',-2],['ba',-2],['aba',-3]]}",
     false, "ab", "3@0-2"},
    {NULL, false, "aba", "5@0-3"},
    {NULL, false, "abab", "3@0-2 3@2-4"},
    {NULL, false, "babab", "2@0-1 3@1-3 3@3-5"},
    {NULL, false, "aaba", "1@0-1 5@1-4"},
    /* a sum's rounding decides between the same tokens in another order */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',-20],['a',-0.1],['aa',-0.3],['aaa',-0.4]]}", false,
     "aaaa", "1@0-1 1@1-2 1@2-3 1@3-4"},
    {NULL, false, "aaaaaaa", "1@0-1 1@1-2 1@2-3 1@3-4 1@4-5 1@5-6 1@6-7"},
    {NULL, false, "aaaaaaaaaaaaa",
     "1@0-1 1@1-2 1@2-3 1@3-4 1@4-5 1@5-6 1@6-7 1@7-8 1@8-9 1@9-10 1@10-11 1@11-12 1@12-13"},
    /* the numbers are the library's, beside the nearest ones by a bit */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0],['0',-7.4715776443481445],['00',-8.7206902503967285],"
     "['000',-9.7708048820495605],['0000',-10.1]]}",
     false, "000000000", "1@0-1 4@1-5 4@5-9"},
    {NULL, false, "0000000000000000000000", "4@0-4 4@4-8 2@8-10 4@10-14 4@14-18 4@18-22"},
    /* the unknown token is above the cheapest one less 10 */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0],['xy',-100],['a',-1]]}", false, "xya", "1@0-2 2@2-3"},
    {NULL, false, "xxya", "0@0-1 1@1-3 2@3-4"},
    /* a run of unknown text that is a token after all */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',30],['xy',30],['a',30]]}", false, "xy", "1@0-2"},
    {NULL, false, "axya", "2@0-1 1@1-3 2@3-4"},
    {NULL, false, "xxy", "0@0-3"},
    /* the unknown token is an ordinary piece, too */
    {"{'type':'Unigram','unk_id':0,'vocab':[['x',-3],['a',-1],['y',-2]]}", false, "xxa", "0@0-2 1@2-3"},
    {NULL, false, "xqxa", "0@0-3 1@3-4"},
    {NULL, false, "qqa", "0@0-2 1@2-3"},
    {NULL, false, "xyx", "0@0-1 2@1-2 0@2-3"},
    /* of equal pieces the last one has id and score, the cheapest of all counts */
    {"{'type':'Unigram','unk_id':1,'vocab':[['a',0],['b',-1],['a',-5],['ab',-5.5],['b',-30]]}", false, "a",
     "2@0-1"},
    {NULL, false, "ab", "3@0-2"},
    {NULL, false, "b", "4@0-1"},
    {NULL, false, "zb", "1@0-1 4@1-2"},
    /* the empty piece is never a token */
    {"{'type':'Unigram','unk_id':1,'vocab':[['',0],['a',-1]]}", false, "a", "1@0-1"},
    {NULL, false, "ba", "1@0-2"},
    /* bytes stand for a whole run or not at all, each with the run's offsets */
    {"{'type':'Unigram','unk_id':0,'byte_fallback':true,'vocab':[['<unk>',0],['a',-1],['<0xC3>',-1],['<0xA9>'"
     ",-1]]}",
     false, "aéa", "1@0-1 2@1-3 3@1-3 1@3-4"},
    {NULL, false, "aéüa", "1@0-1 0@1-5 1@5-6"},
    {NULL, false, "éé", "2@0-4 3@0-4 2@0-4 3@0-4"},
    {NULL, false, "éxé", "0@0-5"},
    {NULL, false, "aé<0xC3>", "1@0-1 2@1-3 3@1-3 2@3-9"},
    /* the same without the option */
    {"{'type':'Unigram','unk_id':0,'vocab':[['<unk>',0],['a',-1],['<0xC3>',-1],['<0xA9>',-1]]}", false, "aéa",
     "1@0-1 0@1-3 1@3-4"},
    /* options that the library does not read from a file */
    {"{'type':'Unigram','unk_id':0,'alpha':0.1,'nbest_size':5,'fuse_unk':false,'vocab':[['<unk>',0],['a',0]]"
     "}",
     false, "axxa", "1@0-1 0@1-3 1@3-4"},
    /* no unknown token: the text is refused */
    {"{'type':'Unigram','vocab':[['a',0],['b',0]]}", false, "ab", "0@0-1 1@1-2"},
    {NULL, false, "abc", NULL},
    /* no unknown token, and none needed */
    {"{'type':'Unigram','unk_id':null,'vocab':[['éa',0],['é',-1],['a',-1]]}", false, "éaé", "0@0-3 1@3-5"},
    /* WordPiece: longest first, a word that does not work out is unknown */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_per_word':"
     "100,'vocab':{'[UNK]':0,'a':1,'##b':2,'##bc':3,'ab':4,'##':5,'é':6,'##é':7,'##d':8}}",
     true, "abcd abc ab abz z ##b ##bb é éé aé",
     "0@0-4 0@5-8 4@9-11 0@12-15 0@16-17 2@18-21 2@22-25 2@25-26 6@27-29 6@30-32 7@32-34 1@35-36 7@36-38"},
    {NULL, true,
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "0@0-100 0@101-202"},
    /* too long counts characters */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_per_word':2,'"
     "vocab':{'[UNK]':0,'a':1,'##b':2,'##bc':3,'ab':4,'##':5,'é':6,'##é':7,'##d':8}}",
     true, "ab abb éé ééé [UNK]", "4@0-2 0@3-6 6@7-9 7@9-11 0@12-18 0@19-24"},
    /* no word is short enough */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_per_word':0,'"
     "vocab':{'[UNK]':0,'a':1,'##b':2,'##bc':3,'ab':4,'##':5,'é':6,'##é':7,'##d':8}}",
     true, "a", "0@0-1"},
    /* an empty prefix */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'','max_input_chars_per_word':100,'"
     "vocab':{'[UNK]':0,'a':1,'b':2,'ab':3}}",
     true, "aab abab bba abc", "1@0-1 3@1-3 3@4-6 3@6-8 2@9-10 2@10-11 1@11-12 0@13-16"},
    /* no piece has the prefix */
    {"{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'~','max_input_chars_per_word':100,'"
     "vocab':{'a':0,'b':1,'ab':2}}",
     true, "ab ba b", "2@0-2 0@3-5 1@6-7"},
    /* the unknown token is missing: refused when it is needed */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_per_word':"
     "100,'vocab':{'a':1,'##b':2}}",
     true, "ab a", "1@0-1 2@1-2 1@3-4"},
    {NULL, true, "ab ba", NULL},
    /* a token twice: its last id */
    {"{'type':'WordPiece','unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_per_word':"
     "100,'vocab':{'[UNK]':7,'a':1,'##b':3,'##b':4}}",
     true, "a ab z", "1@0-1 1@2-3 4@3-4 7@5-6"},
    /* WordLevel */
    {"{'type':'WordLevel','unk_token':'<unk>','vocab':{'<unk>':0,'a':1,'é':2}}", true, "a b <unk> é aa",
     "1@0-1 0@2-3 0@4-9 2@10-12 0@13-15"},
    /* WordLevel without its unknown token */
    {"{'type':'WordLevel','unk_token':'<unk>','vocab':{'a':1}}", true, "a a", "1@0-1 1@2-3"},
    {NULL, true, "a b", NULL},
    /* files without a type: WordPiece */
    {"{'unk_token':'[UNK]','continuing_subword_prefix':'##','max_input_chars_per_word':100,'vocab':{'[UNK]':"
     "0,'a':1,'##b':2,'##bc':3,'ab':4,'##':5,'é':6,'##é':7,'##d':8}}",
     true, "ab abd", "4@0-2 4@3-5 8@5-6"},
    /* WordLevel */
    {"{'unk_token':'b','vocab':{'a':0,'b':1},'continuing_subword_prefix':'##'}", true, "a b c",
     "0@0-1 1@2-3 1@4-5"},
    /* two texts with one id */
    {"{'type':'WordLevel','unk_token':'c','vocab':{'a':0,'b':0,'c':1}}", true, "a b x", "0@0-1 0@2-3 1@4-5"},
    /* Unigram */
    {"{'unk_id':0,'vocab':[['<unk>',0],['a',-1]]}", false, "axx", "1@0-1 0@1-3"},
    /* BPE */
    {"{'vocab':{'a':0,'b':1,'ab':2},'merges':['a b'],'unk_token':'a'}", true, "ab ba", "2@0-2 1@3-4 0@4-5"},
};

/* BPE: what is done with a word's ends and with characters that are no tokens. */
static const struct model_case bpe_cases[] = {
    /* inside a word characters carry the prefix; a join drops the right one's */
    {"{'type':'BPE','unk_token':'<unk>','continuing_subword_prefix':'##','vocab':{'<unk>':0,'a':1,'##a':2,'b'"
     ":3,'##b':4,'ab':5,'##ab':6,'aba':7,'##c':8,'c':9},'merges':[['a','##b'],['##a','##b'],['ab','##a']]}",
     true, "ab aab aba abab bab c cc xc cx xx xxa",
     "5@0-2 1@3-4 6@4-6 7@7-10 5@11-13 6@13-15 3@16-17 6@17-19 9@20-21 9@22-23 8@23-24 0@25-26 8@26-27 "
     "9@28-29 0@29-30 0@31-32 0@32-33 0@34-35 0@35-36 2@36-37"},
    /* the last character carries the suffix */
    {"{'type':'BPE','unk_token':'<unk>','end_of_word_suffix':'</w>','vocab':{'<unk>':0,'a':1,'b':2,'a</"
     "w>':3,'b</w>':4,'ab</w>':5,'ab':6,'abb</w>':7,'x</w>':8,'é</w>':9},'merges':['a b</w>','a b','ab "
     "b</w>']}",
     true, "ab a b abb abab x xa ax aé é yy",
     "5@0-2 3@3-4 4@5-6 7@7-10 6@11-13 5@13-15 8@16-17 0@18-19 3@19-20 1@21-22 8@22-23 1@24-25 9@25-27 "
     "9@28-30 0@31-32 0@32-33"},
    /* a whole word is looked up as it is */
    {"{'type':'BPE','unk_token':'<unk>','end_of_word_suffix':'</"
     "w>','ignore_merges':true,'vocab':{'<unk>':0,'a':1,'b':2,'a</w>':3,'b</w>':4,'ab</w>':5,'ab':6,'abb</"
     "w>':7,'x</w>':8,'é</w>':9},'merges':[]}",
     true, "ab a</w> ab</w> aa", "6@0-2 3@3-8 5@9-15 1@16-17 3@17-18"},
    /* both */
    {"{'type':'BPE','unk_token':'<unk>','continuing_subword_prefix':'##','end_of_word_suffix':'</"
     "w>','vocab':{'<unk>':0,'a':1,'##a':2,'##a</w>':3,'a</w>':4,'##b':5,'a##':6,'ab':7,'aa</w>':8,'##ba</"
     "w>':9,'aba</w>':10},'merges':[['a','##b'],['a','##a</w>'],['##b','##a</w>'],['a','##ba</w>']]}",
     true, "a aa ab aba abaa", "4@0-1 8@2-4 1@5-6 0@6-7 7@8-10 3@10-11 7@12-14 2@14-15 3@15-16"},
    /* bytes overtake unknown characters in front of them, the offsets do not */
    {"{'type':'BPE','unk_token':'<unk>','byte_fallback':true,'vocab':{'<unk>':0,'a':1,'<0xC3>':2,'<0xA9>':3,'"
     "b':4},'merges':[]}",
     false, "xéa", "2@0-1 3@1-3 0@1-3 1@3-4"},
    {NULL, false, "xé", "2@0-1 3@1-3 0@1-3"},
    {NULL, false, "éx", "2@0-2 3@0-2 0@2-3"},
    {NULL, false, "xyéa", "0@0-1 2@1-2 3@2-4 0@2-4 1@4-5"},
    {NULL, false, "xxa", "0@0-1 0@1-2 1@2-3"},
    /* the same with unknown characters fused */
    {"{'type':'BPE','unk_token':'<unk>','byte_fallback':true,'fuse_unk':true,'vocab':{'<unk>':0,'a':1,'<0xC3>"
     "':2,'<0xA9>':3,'b':4},'merges':[]}",
     false, "xéa", "2@0-1 3@1-3 0@1-3 1@3-4"},
    {NULL, false, "xéy", "2@0-1 3@1-3 0@1-4"},
    {NULL, false, "xyéa", "2@0-1 3@1-2 0@2-4 1@4-5"},
    {NULL, false, "xxa", "0@0-2 1@2-3"},
    {NULL, false, "xéyéza", "2@0-1 3@1-3 2@1-3 3@3-4 0@4-7 1@7-8"},
    /* without an unknown token a character is dropped, and its bytes from the offsets */
    {"{'type':'BPE','vocab':{'<unk>':0,'a':1,'<0xC3>':2,'<0xA9>':3,'b':4},'merges':[]}", false, "xa",
     "1@0-1"},
    {NULL, false, "axb", "1@0-1 4@1-2"},
    /* an unknown token out of the vocabulary: refused when it is needed */
    {"{'type':'BPE','unk_token':'?','vocab':{'<unk>':0,'a':1,'<0xC3>':2,'<0xA9>':3,'b':4},'merges':[]}",
     false, "a", "1@0-1"},
    {NULL, false, "xa", NULL},
    /* an empty prefix and suffix are none */
    {"{'type':'BPE','unk_token':'<unk>','continuing_subword_prefix':'','end_of_word_suffix':'','vocab':{'<"
     "unk>':0,'a':1,'<0xC3>':2,'<0xA9>':3,'b':4,'ab':5},'merges':['a b']}",
     true, "ab xa", "5@0-2 0@3-4 1@4-5"},
};

/* Takes the text. */
static enum status document_load(struct buf *json, struct tokenizer **out, struct err *e)
{
    for (size_t i = 0; i < json->n; i++)
        if (json->p[i] == '\'')
            json->p[i] = '"';
    enum status st = tokenizer_from_json(buf_str(json), out, e);
    buf_fini(json);
    return st;
}

static enum status model_load(const char *model, bool split, struct tokenizer **out, struct err *e)
{
    struct buf json;
    buf_init(&json, 1u << 24);
    buf_printf(&json, "{'pre_tokenizer':%s,'model':", split ? "{'type':'WhitespaceSplit'}" : "null");
    buf_put_str(&json, str_from(model));
    buf_put_str(&json, STR(",'added_tokens':[]}"));
    return document_load(&json, out, e);
}

static void expect_tokens(const struct tokenizer *t, const struct model_case *c)
{
    struct tokens got;
    struct buf text;
    struct err e = {0};
    enum status st = tokenizer_encode(t, str_from(c->text), 0, &got, &e);
    buf_init(&text, 1u << 20);
    for (size_t i = 0; i < got.n; i++)
        buf_printf(&text, "%s%d@%u-%u", i ? " " : "", got.ids[i], got.start[i], got.stop[i]);
    buf_put_char(&text, '\0');
    if (c->tokens && st != ST_OK)
        fail_msg("%s: %s", c->text, e.text);
    if (c->tokens)
        assert_string_equal(text.p, c->tokens);
    else
        assert_int_equal(st, ST_INVALID);
    buf_fini(&text);
    tokens_fini(&got);
}

static void run_cases(const struct model_case *rows, size_t n)
{
    struct tokenizer *t = NULL;
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};
        if (rows[i].model) {
            tokenizer_free(t);
            t = NULL;
            enum status st = model_load(rows[i].model, rows[i].split, &t, &e);
            if (st != ST_OK)
                fail_msg("%s: %s", rows[i].model, e.text);
        }
        if (t)
            expect_tokens(t, &rows[i]);
    }
    tokenizer_free(t);
}

static void test_tokens(void **state)
{
    (void)state;
    run_cases(cases, sizeof cases / sizeof *cases);
}

static void test_bpe(void **state)
{
    (void)state;
    run_cases(bpe_cases, sizeof bpe_cases / sizeof *bpe_cases);
}

/* What the library refuses, too. */
static void test_refused_models(void **state)
{
    static const char *const models[] = {
        "{'type':'Unigram'}",
        "{'type':'Unigram','vocab':{'a':1}}",
        "{'type':'Unigram','vocab':[],'unk_id':0}",
        "{'type':'Unigram','vocab':[['a',0]],'unk_id':1}",
        "{'type':'Unigram','vocab':[['a',0]],'unk_id':-1}",
        "{'type':'Unigram','vocab':[['a',0]],'unk_id':0.0}",
        "{'type':'Unigram','vocab':[['a',0]],'unk_id':'0'}",
        "{'type':'Unigram','vocab':[['a',0]],'byte_fallback':null}",
        "{'type':'Unigram','vocab':[['a',0]],'byte_fallback':'x'}",
        "{'type':'Unigram','vocab':[['a']]}",
        "{'type':'Unigram','vocab':[['a',1,2]]}",
        "{'type':'Unigram','vocab':[{'a':1}]}",
        "{'type':'Unigram','vocab':[['a','1']]}",
        "{'type':'Unigram','vocab':[['a',null]]}",
        "{'type':'Unigram','vocab':[['a',NaN]]}",
        "{'type':'Unigram','vocab':[['a',1e400]]}",
        "{'type':'WordPiece','continuing_subword_prefix':'##','max_input_chars_per_word':9,'vocab':{'a':0}}",
        "{'type':'WordPiece','unk_token':'a','max_input_chars_per_word':9,'vocab':{'a':0}}",
        "{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'##','vocab':{'a':0}}",
        "{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'##','max_input_chars_per_word':-1,"
        "'vocab':{'a':0}}",
        "{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'##','max_input_chars_per_word':9}",
        "{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'##','max_input_chars_per_word':9,"
        "'vocab':{'a':4294967296}}",
        "{'type':'WordPiece','unk_token':'a','continuing_subword_prefix':'##','max_input_chars_per_word':9,"
        "'vocab':{'a':-1}}",
        "{'type':'WordLevel','vocab':{'a':0}}",
        "{'type':'WordLevel','unk_token':null,'vocab':{'a':0}}",
        "{'type':'WordLevel','unk_token':'a','vocab':{'a':1.0}}",
        "{'vocab':{'a':0}}",
        "{'type':null,'vocab':[['a',0]]}",
        "{'type':'Other','vocab':[['a',0]]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct tokenizer *t;
        struct err e = {0};
        if (model_load(models[i], false, &t, &e) == ST_OK)
            fail_msg("%s was taken", models[i]);
        assert_true(e.text[0]);
    }
}

/* ---- what a token adds to a text ---- */

static void test_token_bytes(void **state)
{
    static const struct {
        const char *decoder, *token, *bytes;
    } rows[] = {
        {"null", "ab", " ab"}, /* joined with spaces */
        {"{'type':'Fuse'}", "\u2581ab\u2581", " ab "},
        {"{'type':'Metaspace','replacement':'\u2581','prepend_scheme':'always'}", "\u2581ab", " ab"},
        {"{'type':'Metaspace','replacement':'_','prepend_scheme':'always'}", "_a\u2581", " a\u2581"},
        {"{'type':'ByteFallback'}", "<0x0A>", "\n"},
        {"{'type':'ByteLevel'}", "\u0120a", " a"},
        {"{'type':'WordPiece','prefix':'##','cleanup':true}", "##ab", "ab"},
        {"{'type':'WordPiece','prefix':'##','cleanup':true}", "ab", " ab"},
        {"{'type':'BPEDecoder','suffix':'</w>'}", "ab</w>", "ab "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf json;
        struct tokenizer *t;
        struct err e = {0};
        buf_init(&json, 1u << 16);
        buf_printf(&json, "{'decoder':%s,'added_tokens':[],'model':", rows[i].decoder);
        buf_printf(&json, "{'type':'WordLevel','unk_token':'?','vocab':{'%s':0}}}", rows[i].token);
        enum status st = document_load(&json, &t, &e);
        if (st != ST_OK)
            fail_msg("%s: %s", rows[i].decoder, e.text);
        struct str bytes = tokenizer_vocab(t)->bytes[0];
        if (!str_eq(bytes, str_from(rows[i].bytes)))
            fail_msg("%s, %s: `" STR_FMT "`", rows[i].decoder, rows[i].token, STR_ARG(bytes));
        tokenizer_free(t);
    }
}

/* ---- long texts, long tokens ---- */

static size_t count_tokens(const char *model, struct str text)
{
    struct tokenizer *t;
    struct tokens got;
    struct err e = {0};
    if (model_load(model, false, &t, &e) != ST_OK || tokenizer_encode(t, text, 0, &got, &e) != ST_OK)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < got.n; i++)
        if (got.start[i] != (i ? got.stop[i - 1] : 0))
            fail_msg("token %zu does not follow the one before", i);
    assert_int_equal(got.stop[got.n - 1], text.n);
    size_t n = got.n;
    tokens_fini(&got);
    tokenizer_free(t);
    return n;
}

/* A megabyte in one piece: a search that costs more than a few steps a byte does not come back. */
static void test_megabyte(void **state)
{
    (void)state;
    char *text = malloc(MEGABYTE);
    assert_non_null(text);
    struct str all = {text, MEGABYTE};
    memset(text, 'a', MEGABYTE);
    assert_int_equal(
        count_tokens("{'type':'Unigram','unk_id':0,'vocab':[['?',-9],['a',-2],['aaa',-3]]}", all),
        MEGABYTE / 3 + 1);
    assert_int_equal(count_tokens("{'type':'Unigram','unk_id':0,'vocab':[['?',-9],['b',-2]]}", all), 1);
    assert_int_equal(count_tokens("{'type':'WordPiece','unk_token':'?','continuing_subword_prefix':'##',"
                                  "'max_input_chars_per_word':1000000000,'vocab':{'?':0,'a':1,'##aa':2}}",
                                  all),
                     1); /* 999999 behind the first do not halve: all of it is unknown */
    assert_int_equal(count_tokens("{'type':'WordPiece','unk_token':'?','continuing_subword_prefix':'##',"
                                  "'max_input_chars_per_word':1000000000,'vocab':{'?':0,'a':1,'##aaa':2}}",
                                  all),
                     MEGABYTE / 3 + 1);
    free(text);
}

/* Many pieces that share their beginnings: every one is found again by itself. */
static void test_many_pieces(void **state)
{
    (void)state;
    struct buf json;
    struct tokenizer *t;
    struct err e = {0};
    const unsigned n = 20000;
    buf_init(&json, 1u << 24);
    buf_printf(&json, "{'type':'WordPiece','unk_token':'0','continuing_subword_prefix':'##',"
                      "'max_input_chars_per_word':100,'vocab':{'0':0");
    for (unsigned i = 1; i < n; i++)
        buf_printf(&json, ",'%x':%u", i * 2654435761u, i);
    buf_printf(&json, "}}");
    buf_put_char(&json, '\0');
    if (model_load(json.p, false, &t, &e) != ST_OK)
        fail_msg("%s", e.text);
    for (unsigned i = 1; i < n; i++) {
        struct tokens got;
        char word[16];
        snprintf(word, sizeof word, "%x", i * 2654435761u);
        assert_int_equal(tokenizer_encode(t, str_from(word), 0, &got, &e), ST_OK);
        assert_int_equal(got.n, 1);
        assert_int_equal(got.ids[0], i);
        tokens_fini(&got);
    }
    tokenizer_free(t);
    buf_fini(&json);
}

static void test_long_piece(void **state)
{
    (void)state;
    struct buf json;
    struct tokenizer *t;
    struct err e = {0};
    for (unsigned length = 512; length <= 513; length++) {
        buf_init(&json, 1u << 20);
        buf_printf(&json, "{'type':'Unigram','unk_id':0,'vocab':[['?',-9],['%0*u',-1]]}", (int)length, 0u);
        buf_put_char(&json, '\0');
        enum status st = model_load(json.p, false, &t, &e);
        assert_int_equal(st, length == 512 ? ST_OK : ST_LIMIT);
        if (st == ST_OK)
            tokenizer_free(t);
        buf_fini(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),         cmocka_unit_test(test_bpe),
        cmocka_unit_test(test_refused_models), cmocka_unit_test(test_token_bytes),
        cmocka_unit_test(test_megabyte),       cmocka_unit_test(test_many_pieces),
        cmocka_unit_test(test_long_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* parallax: the command line. One table of verbs. */
#include "cli/cli.h"
#include "cli/text.h"

#include <getopt.h>
#include <string.h>

static int verb_version(const Cli *cli, int argc, char **argv) {
        (void)cli, (void)argc, (void)argv;
        puts("parallax " PARALLAX_VERSION);
        return CLI_OK;
}

static int verb_help(const Cli *cli, int argc, char **argv) {
        (void)cli, (void)argc, (void)argv;
        fputs(text(TEXT_HELP), stdout);
        return CLI_OK;
}

static const struct {
        const char *name;
        int (*run)(const Cli *cli, int argc, char **argv);
} VERBS[] = {
        { "ls", verb_ls },
        { "show", verb_show },
        { "query", verb_query },
        { "explain", verb_explain },
        { "import", verb_import },
        { "doctor", verb_doctor },
        { "store", verb_store },
        { "completion", verb_completion },
        { "version", verb_version },
        { "help", verb_help },
};

static int run_verb(const Cli *cli, int argc, char **argv) {
        for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
                        return verb_help(cli, argc, argv);
        for (size_t i = 0; i < ARRAY_LEN(VERBS); i++)
                if (strcmp(argv[0], VERBS[i].name) == 0)
                        return VERBS[i].run(cli, argc, argv);
        fprintf(stderr, text(TEXT_UNKNOWN_VERB), argv[0]);
        return CLI_USAGE;
}

int main(int argc, char **argv) {
        static const struct option LONG[] = {
                { "url", required_argument, NULL, 'u' },
                { "runtime-dir", required_argument, NULL, 'r' },
                { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        Cli cli = { .runtime_dir = CLI_RUNTIME_DIR };
        text_setup();
        for (int c; (c = getopt_long(argc, argv, "+u:r:Vh", LONG, NULL)) != -1;) {
                switch (c) {
                case 'u': cli.url = optarg; break;
                case 'r': cli.runtime_dir = optarg; break;
                case 'V': return verb_version(&cli, argc, argv);
                case 'h': return verb_help(&cli, argc, argv);
                default: return cli_usage();
                }
        }
        if (optind < argc)
                return run_verb(&cli, argc - optind, argv + optind);
        fputs(text(TEXT_NO_VERB), stderr);
        return CLI_USAGE;
}

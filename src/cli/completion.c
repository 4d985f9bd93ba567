/* parallax completion: code for the three shells. Names come from `parallax ls --json`, without jq. */
#include "cli/cli.h"
#include "cli/text.h"

#include <string.h>

#define NAMES "parallax ls --json 2>/dev/null | sed -n 's/^ *\"name\": \"\\([^\"\\\\]*\\)\",*$/\\1/p'"

static const struct {
        const char *shell, *code;
} SHELLS[] = {
        { "bash",
          "_parallax() {\n"
          "        local cur=${COMP_WORDS[COMP_CWORD]} verb= i\n"
          "        for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "                case ${COMP_WORDS[i]} in\n"
          "                -u | --url | -r | --runtime-dir) i=$((i + 1)) ;;\n"
          "                -*) ;;\n"
          "                *) verb=${COMP_WORDS[i]}; break ;;\n"
          "                esac\n"
          "        done\n"
          "        local words\n"
          "        case $verb in\n"
          "        '') words='ls show query explain store import doctor completion version help --url --runtime-dir --version --help' ;;\n"
          "        ls) words=\"--json --watch --vms --containers --all --sort\" ;;\n"
          "        show) words=\"--json $(" NAMES ")\" ;;\n"
          "        store) words=\"info verify inspect export import delete snapshot rollup compact --data-dir --match --vm --from --to --tier --column --json\" ;;\n"
          "        query) words='--server --time --range --start --end --step --format --plot' ;;\n"
          "        explain) words='--server --time --range --start --end --step' ;;\n"
          "        import) words=\"--format $(compgen -f -- \"$cur\")\" ;;\n"
          "        completion) words='bash zsh fish' ;;\n"
          "        *) words= ;;\n"
          "        esac\n"
          "        [ \"${COMP_WORDS[COMP_CWORD-1]}\" != --sort ] || words='name cpu delay memory disk net'\n"
          "        [ \"${COMP_WORDS[COMP_CWORD-1]}\" != --format ] || words='auto text openmetrics'\n"
          "        [ \"$verb ${COMP_WORDS[COMP_CWORD-1]}\" != 'query --format' ] || words='table json csv'\n"
          "        local IFS=$' \\n'\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "}\n"
          "complete -F _parallax parallax\n" },
        { "zsh",
          "#compdef parallax\n"
          "_parallax() {\n"
          "        local -a verbs names\n"
          "        verbs=('ls:a line for each machine' 'show:everything about one machine' 'doctor:what this host lacks'\n"
          "               'store:the history' 'query:ask in PromQL' 'explain:how a query is carried out'\n"
          "               'import:send samples of a file to the store'\n"
          "               'completion:completion code for a shell' 'version:the version' 'help:the help')\n"
          "        _arguments -C '(-u --url)'{-u,--url}'[ask parallaxd there]:url:_urls' \\\n"
          "                '(-r --runtime-dir)'{-r,--runtime-dir}'[directory of api.sock]:folder:_directories' \\\n"
          "                '1: :->verb' '*:: :->rest'\n"
          "        case $state in\n"
          "        verb) _describe verb verbs ;;\n"
          "        rest)\n"
          "                case $words[1] in\n"
          "                ls) _arguments --json '(-w --watch)'{-w,--watch} --vms --containers '(-a --all)'{-a,--all} \\\n"
          "                        '--sort:key:(name cpu delay memory disk net)' ;;\n"
          "                show) names=(${(f)\"$(" NAMES ")\"}); _arguments --json '1:machine:($names)' ;;\n"
          "                store) _arguments '1:verb:(info verify inspect export import delete snapshot rollup compact)' '--data-dir:folder:_directories' '*--match:condition:' '--vm:uuid:' \\\n"
          "                        '--from:time:' '--to:time:' '--tier:tier:(raw 5m 1h)' '--column:column:(count sum min max last increase)' --json ;;\n"
          "                import) _arguments '(-f --format)'{-f,--format}':format:(auto text openmetrics)' '1:file:_files' ;;\n"
          "                query) _arguments '(-s --server)'{-s,--server}':url:' '--time:time:' '--range:duration:' '--start:time:' '--end:time:' '--step:duration:' \\\n"
          "                        '(-f --format)'{-f,--format}':format:(table json csv)' --plot '1:expression:' ;;\n"
          "                explain) _arguments '(-s --server)'{-s,--server}':url:' '--time:time:' '--range:duration:' '--start:time:' '--end:time:' '--step:duration:' '1:expression:' ;;\n"
          "                completion) _values shell bash zsh fish ;;\n"
          "                esac ;;\n"
          "        esac\n"
          "}\n"
          "compdef _parallax parallax\n" },
        { "fish",
          "complete -c parallax -f\n"
          "complete -c parallax -n __fish_use_subcommand -a 'ls show query explain store import doctor completion version help'\n"
          "complete -c parallax -n __fish_use_subcommand -s u -l url -r\n"
          "complete -c parallax -n __fish_use_subcommand -s r -l runtime-dir -r -F\n"
          "complete -c parallax -n '__fish_seen_subcommand_from ls' -l json -l vms -l containers\n"
          "complete -c parallax -n '__fish_seen_subcommand_from ls' -s w -l watch\n"
          "complete -c parallax -n '__fish_seen_subcommand_from ls' -s a -l all\n"
          "complete -c parallax -n '__fish_seen_subcommand_from ls' -l sort -x -a 'name cpu delay memory disk net'\n"
          "complete -c parallax -n '__fish_seen_subcommand_from show' -l json\n"
          "complete -c parallax -n '__fish_seen_subcommand_from show' -a \"(" NAMES ")\"\n"
          "complete -c parallax -n '__fish_seen_subcommand_from store' -a 'info verify inspect export import delete snapshot rollup compact'\n"
          "complete -c parallax -n '__fish_seen_subcommand_from store' -l data-dir -r -F\n"
          "complete -c parallax -n '__fish_seen_subcommand_from store' -l match -l vm -l from -l to -x\n"
          "complete -c parallax -n '__fish_seen_subcommand_from store' -l tier -x -a 'raw 5m 1h'\n"
          "complete -c parallax -n '__fish_seen_subcommand_from store' -l json\n"
          "complete -c parallax -n '__fish_seen_subcommand_from query explain' -s s -l server -x\n"
          "complete -c parallax -n '__fish_seen_subcommand_from query explain' -l time -l range -l start -l end -l step -x\n"
          "complete -c parallax -n '__fish_seen_subcommand_from query' -s f -l format -x -a 'table json csv'\n"
          "complete -c parallax -n '__fish_seen_subcommand_from query' -l plot\n"
          "complete -c parallax -n '__fish_seen_subcommand_from import' -F\n"
          "complete -c parallax -n '__fish_seen_subcommand_from import' -s f -l format -x -a 'auto text openmetrics'\n"
          "complete -c parallax -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n" },
};

int verb_completion(const Cli *cli, int argc, char **argv) {
        (void)cli;
        for (size_t i = 0; argc == 2 && i < ARRAY_LEN(SHELLS); i++)
                if (strcmp(argv[1], SHELLS[i].shell) == 0) {
                        fputs(SHELLS[i].code, stdout);
                        return CLI_OK;
                }
        fputs(text(TEXT_ONE_SHELL), stderr);
        return CLI_USAGE;
}

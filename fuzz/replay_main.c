/* Runs a fuzz target over the files of folders, under any compiler: the corpora are ordinary tests. */
#include "base/buf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_folder(const char *path) {
        DIR *dir = opendir(path);
        if (!dir) {
                perror(path);
                return -1;
        }
        int n = 0;
        for (struct dirent *e; (e = readdir(dir));) {
                if (e->d_name[0] == '.')
                        continue;
                CLEANUP(buf_deinit) Buf input = BUF_NULL;
                if (buf_read_file(&input, dirfd(dir), e->d_name, BUF_LIMIT_DEFAULT) != 0)
                        continue;
                (void)LLVMFuzzerTestOneInput((const uint8_t *)input.data, input.len);
                n++;
        }
        (void)closedir(dir);
        return n;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                int n = replay_folder(argv[i]);
                if (n <= 0) {
                        (void)fprintf(stderr, "%s: no inputs\n", argv[i]);
                        return 1;
                }
                (void)printf("%s: %d inputs\n", argv[i], n);
        }
        return argc > 1 ? 0 : 2;
}

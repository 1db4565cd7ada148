#include <fcntl.h>
#include <unistd.h>

#include "gateway/cli/cli.h"

/* Where one was closed by whoever started the program, the next file or socket to be opened would get the output instead. Reading and writing
 * fail as before. */
static void keep_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	keep_standard_streams();
	return cli_main(argc, argv, environ);
}

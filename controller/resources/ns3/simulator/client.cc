// Passes requests, JSON lines of standard input, to a simulation, and its answers to standard output.
//
//   client SOCKET
//
// Exit codes: 0, all were carried out, or the simulation has ended; 1, one was refused, or the
// simulation broke off; 3, there is no simulation.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// The simulation leaves a summary when it ends in order; then there is nothing more to do.
static bool ended()
{
    return access("summary.json", F_OK) == 0;
}

// The exit code after a simulation that answers no more.
static int left()
{
    if (ended())
        return 0;
    std::cerr << "nepiq: the simulation broke off\n";
    return 1;
}

// Whether the whole request was sent.
static bool sent(int server, const std::string& request)
{
    for (std::size_t done = 0; done < request.size();)
    {
        ssize_t part = write(server, request.data() + done, request.size() - done);
        if (part <= 0)
            return false;
        done += static_cast<std::size_t>(part);
    }
    return true;
}

int main(int count, char** words)
{
    if (count != 2)
    {
        std::cerr << "usage: client SOCKET\n";
        return 2;
    }
    // A simulation that ends between the connection and a request is told by write(2).
    signal(SIGPIPE, SIG_IGN);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", words[1]);
    if (connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    {
        if (ended())
            return 0;
        bool gone = errno == ENOENT || errno == ECONNREFUSED;
        std::cerr << "nepiq: " << (gone ? "the simulation does not run" : std::strerror(errno)) << '\n';
        return 3;
    }
    std::string pending;
    for (std::string line; std::getline(std::cin, line);)
    {
        line += '\n';
        if (!sent(server, line))
            return left();
        for (char block[4096]; pending.find('\n') == std::string::npos;)
        {
            ssize_t length = read(server, block, sizeof block);
            if (length <= 0)
                return left();
            pending.append(block, static_cast<std::size_t>(length));
        }
        auto end = pending.find('\n');
        std::string answer = pending.substr(0, end);
        pending.erase(0, end + 1);
        std::cout << answer << std::endl;
        static const std::string refused = "{\"ok\":false,\"error\":\"";
        if (answer.compare(0, refused.size(), refused) == 0)
        {
            auto message = answer.substr(refused.size());
            std::cerr << "nepiq: " << message.substr(0, message.rfind('"')) << '\n';
            return 1;
        }
    }
    return 0;
}

// A simulation of ns-3 that is built from a description and can be talked to while it runs.
//
//   simulator types               write the TypeId registry as JSON
//   simulator check DESCRIPTION   build the simulation and say whether that works
//   simulator run DESCRIPTION SOCKET [SECONDS]
//
// A description is a file of JSON lines, one verb each (builder.h). Messages for people go to
// standard error; those of this program begin with "nepiq: ".

#include "registry.h"
#include "server.h"

#include <chrono>
#include <csignal>
#include <iostream>

namespace
{

using namespace nepiq;

// Standard error of C++, of which the last message of NS_FATAL_ERROR or NS_ASSERT is kept.
class Listening : public std::streambuf
{
  public:
    std::string message;

    explicit Listening(std::streambuf* target)
        : m_target(target)
    {
    }

  private:
    std::streambuf* m_target;
    std::string m_line;

    int overflow(int c) override
    {
        if (c == '\n')
        {
            if (m_line.find("msg=\"") != std::string::npos || m_line.find("cond=\"") != std::string::npos)
                message = m_line;
            m_line.clear();
        }
        else if (m_line.size() < 4096)
            m_line += static_cast<char>(c);
        return m_target->sputc(static_cast<char>(c));
    }

    int sync() override
    {
        return m_target->pubsync();
    }
};

Listening* g_listening = nullptr;
bool g_running = false;

// The last words after NS_FATAL_ERROR, a failed assertion or a signal.
void give_up(int number)
{
    std::string what = g_running ? "ns-3 aborted" : std::string("ns-3 aborted at ") + doing;
    what += number == SIGSEGV ? " by a segmentation fault" : "";
    if (g_listening && !g_listening->message.empty())
        what += ": " + g_listening->message;
    what = "nepiq: " + what + "\n";
    [[maybe_unused]] auto written = write(2, what.data(), what.size());
    signal(number, SIG_DFL);
    raise(number);
}

void terminate()
{
    std::abort();
}

void build(Builder& builder, const char* path)
{
    std::ifstream file(path);
    if (!file)
        throw Refused(std::string("cannot read ") + path);
    for (std::string line; std::getline(file, line);)
        if (!line.empty())
            builder.execute(Json::parse(line));
}

int run(Builder& builder, const char* path, const char* socket, const char* limit)
{
    Server& server = *new Server(builder); // Its threads go on until the process ends.
    server.limit(std::atof(limit));
    build(builder, path);
    if (!builder.stop.IsZero())
        Simulator::Stop(builder.stop);
    // Without an end, a real-time simulation goes on until it is stopped.
    std::function<void()> wait = [&] {
        Simulator::Schedule(Seconds(1), [&] {
            ++own_events;
            wait();
        });
    };
    if (builder.realtime && builder.stop.IsZero())
        wait();
    set_doing("start");
    server.listen(socket);
    auto began = std::chrono::steady_clock::now();
    g_running = true;
    Simulator::Run();
    g_running = false;
    std::chrono::duration<double> wall = std::chrono::steady_clock::now() - began;
    double time = Simulator::Now().GetSeconds();
    auto events = Simulator::GetEventCount() - own_events;
    set_doing("end");
    builder.traces.flush();
    builder.flows.write("");
    // Before the socket goes: clients that find none look for the summary.
    std::ofstream("summary.json") << "{\"time\":" << time << ",\"events\":" << events << ",\"wall\":" << wall.count()
                                  << "}\n";
    server.finish();
    builder.clear();
    Simulator::Destroy();
    return server.overdue() ? 124 : 0;
}

} // namespace

int main(int count, char** words)
{
    std::string verb = count > 1 ? words[1] : "";
    Listening listening(std::cerr.rdbuf());
    g_listening = &listening;
    std::cerr.rdbuf(&listening);
    std::set_terminate(terminate);
    signal(SIGABRT, give_up);
    signal(SIGSEGV, give_up);
    int code = 2;
    try
    {
        // Never deleted: some objects of ns-3 cannot be before they were used.
        Builder& builder = *new Builder;
        if (verb == "types" && count == 2)
        {
            write_types(std::cout, NEPIQ_NS3_VERSION);
            code = 0;
        }
        else if (verb == "check" && count == 3)
        {
            builder.checking = true;
            build(builder, words[2]);
            code = 0;
        }
        else if (verb == "run" && (count == 4 || count == 5))
            code = run(builder, words[2], words[3], count == 5 ? words[4] : "0");
        else
            std::cerr << "usage: simulator types | check DESCRIPTION | run DESCRIPTION SOCKET [SECONDS]\n";
    }
    catch (const std::exception& error)
    {
        std::cerr << "nepiq: " << error.what() << std::endl;
    }
    std::cout.flush();
    std::cerr.flush();
    // Without destructors: those of ns-3's libraries run in an order that is not defined.
    _exit(code);
}

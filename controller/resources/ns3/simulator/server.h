// Requests to a running simulation over a unix socket: one JSON line each way.
#pragma once

#include "builder.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <poll.h>
#include <sstream>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

namespace nepiq
{

class Server
{
  public:
    explicit Server(Builder& builder)
        : m_builder(builder)
    {
        // In every thread, so that only the listening one takes them.
        sigemptyset(&m_signals);
        sigaddset(&m_signals, SIGTERM);
        sigaddset(&m_signals, SIGINT);
        pthread_sigmask(SIG_BLOCK, &m_signals, nullptr);
        signal(SIGPIPE, SIG_IGN);
    }

    // Listens at a path. It appears when the description is built, so that it says "ready".
    void listen(const std::string& path)
    {
        m_path = path;
        m_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
        unlink(path.c_str());
        if (bind(m_socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(m_socket, 64) != 0)
            throw Refused("cannot listen at " + path + ": " + std::strerror(errno));
        // The folder keeps others out; the login user has to reach a simulation that runs as root.
        chmod(path.c_str(), 0666);
        m_listener = std::thread([this] { serve(); });
        m_listener.detach();
    }

    // Real time after which the simulation is stopped, and 5 s later, if that did not help, ended.
    void limit(double seconds)
    {
        m_limit = seconds;
    }

    bool overdue() const
    {
        return m_overdue;
    }

    // Ends all requests after the simulation.
    void finish()
    {
        {
            std::lock_guard lock(m_mutex);
            m_over = true;
            m_done.notify_all();
        }
        m_builder.applications.finish();
        unlink(m_path.c_str());
        // The answers that are on their way.
        for (int i = 0; m_clients > 0 && i < 200; ++i)
            usleep(5000);
    }

  private:
    // A call that the thread of the simulation makes.
    struct Call
    {
        std::function<std::string()> function;
        std::string answer;
        bool done = false;
    };

    Builder& m_builder;
    sigset_t m_signals;
    std::string m_path;
    int m_socket = -1;
    std::thread m_listener;
    std::mutex m_mutex;
    std::condition_variable m_done;
    bool m_over = false;
    std::atomic<int> m_clients{0};
    std::atomic<bool> m_overdue{false};
    double m_limit = 0;

    using Clock = std::chrono::steady_clock;
    Clock::time_point m_began = Clock::now();

    void keep_limit()
    {
        double past = std::chrono::duration<double>(Clock::now() - m_began).count() - m_limit;
        if (m_limit <= 0 || past < 0)
            return;
        if (!m_overdue.exchange(true))
        {
            std::ostringstream message;
            message << "nepiq: ended because it ran for " << m_limit << " s (stopAfter)\n";
            [[maybe_unused]] auto written = write(2, message.str().data(), message.str().size());
            inject([] { Simulator::Stop(); });
        }
        else if (past > 5)
            _exit(124);
    }

    void serve()
    {
        pollfd ready[2] = {{m_socket, POLLIN, 0}, {signalfd(-1, &m_signals, SFD_CLOEXEC), POLLIN, 0}};
        for (;;)
        {
            // Traces are flushed once a second, so that they can be read while the simulation runs.
            if (poll(ready, 2, m_limit > 0 ? 100 : 1000) == 0)
                inject([this] { m_builder.traces.flush(); });
            keep_limit();
            if (ready[1].revents & POLLIN)
            {
                signalfd_siginfo taken;
                if (read(ready[1].fd, &taken, sizeof taken) == sizeof taken)
                    inject([] { Simulator::Stop(); });
            }
            if (ready[0].revents & POLLIN)
            {
                int client = accept4(m_socket, nullptr, nullptr, SOCK_CLOEXEC);
                if (client >= 0)
                {
                    ++m_clients;
                    std::thread([this, client] { talk(client); }).detach();
                }
            }
        }
    }

    // The only call of Simulator that other threads may make.
    static void inject(std::function<void()> function)
    {
        Simulator::ScheduleWithContext(Simulator::NO_CONTEXT, Time(0), [function] {
            ++own_events;
            function();
        });
    }

    std::string in_simulation(std::function<std::string()> function)
    {
        auto call = std::make_shared<Call>();
        call->function = std::move(function);
        if (over())
            return "{\"ok\":true}";
        inject([this, call] {
            std::string answer;
            try
            {
                answer = call->function();
            }
            catch (const std::exception& error)
            {
                answer = failed(error.what());
            }
            std::lock_guard lock(m_mutex);
            call->answer = answer;
            call->done = true;
            m_done.notify_all();
        });
        std::unique_lock lock(m_mutex);
        m_done.wait(lock, [&] { return call->done || m_over; });
        // After its end there is nothing more to do.
        return call->done ? call->answer : "{\"ok\":true}";
    }

    bool over()
    {
        std::lock_guard lock(m_mutex);
        return m_over;
    }

    static std::string failed(const std::string& message)
    {
        return "{\"ok\":false,\"error\":" + json(message) + "}";
    }

    void talk(int client)
    {
        std::string pending;
        char block[4096];
        for (ssize_t length; (length = read(client, block, sizeof block)) > 0;)
        {
            pending.append(block, static_cast<std::size_t>(length));
            if (pending.size() > 1 << 20)
                break;
            for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n'))
            {
                std::string answer = reply(pending.substr(0, end)) + "\n";
                pending.erase(0, end + 1);
                for (std::size_t sent = 0; sent < answer.size();)
                {
                    ssize_t part = write(client, answer.data() + sent, answer.size() - sent);
                    if (part <= 0)
                        break;
                    sent += static_cast<std::size_t>(part);
                }
            }
        }
        close(client);
        --m_clients;
    }

    std::string reply(const std::string& line)
    {
        try
        {
            return act(Json::parse(line));
        }
        catch (const std::exception& error)
        {
            return failed(error.what());
        }
    }

    std::string act(const Json& request)
    {
        const std::string verb = request["do"].str();
        const int id = request["id"].number();
        const std::string name = request["name"].str();
        const std::string ok = "{\"ok\":true}";
        if (verb == "get")
            return in_simulation([=, this] { return "{\"ok\":true,\"value\":" + json(m_builder.get(id, name)) + "}"; });
        if (verb == "set")
            return in_simulation([=, this] {
                m_builder.set(id, name, request["value"]);
                return ok;
            });
        if (verb == "start")
            return in_simulation([=, this] {
                m_builder.applications.start(id);
                return ok;
            });
        if (verb == "stop")
            return in_simulation([=, this] {
                m_builder.applications.stop(id);
                return ok;
            });
        if (verb == "wait")
        {
            m_builder.applications.wait(id);
            return ok;
        }
        throw Refused("unknown verb '" + verb + "'");
    }
};

} // namespace nepiq

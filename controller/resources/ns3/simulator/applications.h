// Start, stop and end of ns-3 applications.
#pragma once

#include "values.h"

#include "ns3/application.h"

#include <condition_variable>
#include <mutex>

namespace nepiq
{

// Application::StopApplication is private and has no public caller that acts at once. Access is not
// checked in an explicit instantiation ([temp.spec] of ISO C++), and the call is virtual as usual.
template <auto Member>
struct StopMember
{
    friend void stop_application(Application& application)
    {
        (application.*Member)();
    }
};

void stop_application(Application& application);
template struct StopMember<&Application::StopApplication>;

// The events that Application schedules for its own start and stop.
struct ApplicationEvents : Application
{
    static void cancel(Application& application)
    {
        (application.*(&ApplicationEvents::m_startEvent)).Cancel();
        (application.*(&ApplicationEvents::m_stopEvent)).Cancel();
    }
};

class Applications
{
  public:
    // Adds an application to its node; if it is held, only start() does.
    void add(int id, Ptr<Node> node, Ptr<Application> application, bool held)
    {
        auto& entry = m_entries[id];
        entry.node = node;
        entry.application = application;
        if (!held)
            begin(entry);
    }

    // Called in the simulation's thread. A second start or stop changes nothing.
    void start(int id)
    {
        auto& entry = at(id);
        if (!entry.begun)
            begin(entry);
    }

    void stop(int id)
    {
        auto& entry = at(id);
        if (entry.begun && !entry.ended)
        {
            ApplicationEvents::cancel(*entry.application);
            stop_application(*entry.application);
        }
        entry.begun = true;
        end(&entry);
    }

    // Called in any thread: waits for the end of an application or of the simulation.
    void wait(int id)
    {
        auto& entry = at(id);
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [&] { return entry.ended || m_over; });
    }

    void finish()
    {
        std::lock_guard lock(m_mutex);
        m_over = true;
        m_changed.notify_all();
    }

  private:
    struct Entry
    {
        Ptr<Node> node;
        Ptr<Application> application;
        bool begun = false;
        bool ended = false;
    };

    std::map<int, Entry> m_entries;
    std::mutex m_mutex;
    std::condition_variable m_changed;
    bool m_over = false;

    Entry& at(int id)
    {
        auto found = m_entries.find(id);
        if (found == m_entries.end())
            throw Refused("there is no application " + std::to_string(id));
        return found->second;
    }

    // ns-3 counts StartTime and StopTime from the moment when a node gets its application.
    void begin(Entry& entry)
    {
        entry.begun = true;
        entry.node->AddApplication(entry.application);
        TimeValue stop;
        entry.application->GetAttribute("StopTime", stop);
        if (!stop.Get().IsZero())
            Simulator::ScheduleWithContext(entry.node->GetId(), stop.Get(), &Applications::end_at_stop_time, this, &entry);
    }

    void end_at_stop_time(Entry* entry)
    {
        ++own_events;
        end(entry);
    }

    void end(Entry* entry)
    {
        std::lock_guard lock(m_mutex);
        entry->ended = true;
        m_changed.notify_all();
    }
};

} // namespace nepiq

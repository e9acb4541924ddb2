// JSON values, as far as the protocol needs them: RFC 8259 without surrogate pairs in escapes.
#pragma once

#include <cctype>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace nepiq
{

// What a request or a description asks for and cannot have; the message is for its author.
struct Refused : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

class Json
{
  public:
    enum Kind { NOTHING, BOOLEAN, NUMBER, TEXT, ARRAY, OBJECT };

    Kind kind = NOTHING;
    bool truth = false;
    std::string text; // of a number too, as it was written
    std::vector<Json> items;
    std::map<std::string, Json> members;

    static Json parse(const std::string& line)
    {
        const char* at = line.c_str();
        Json value = read(at, 0);
        blank(at);
        if (*at)
            throw Refused("not JSON: text after the value");
        return value;
    }

    bool has(const std::string& name) const { return members.count(name) > 0; }

    const Json& operator[](const std::string& name) const
    {
        static const Json nothing;
        auto found = members.find(name);
        return found == members.end() ? nothing : found->second;
    }

    // The text of a scalar, as ns-3 reads it.
    std::string str() const { return kind == BOOLEAN ? (truth ? "true" : "false") : text; }

    int number() const { return std::atoi(text.c_str()); }

  private:
    static void blank(const char*& at)
    {
        while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')
            ++at;
    }

    static void expect(const char*& at, const char* word)
    {
        for (; *word; ++word, ++at)
            if (*at != *word)
                throw Refused(std::string("not JSON: expected ") + word);
    }

    static Json read(const char*& at, int depth)
    {
        if (depth > 30)
            throw Refused("not JSON: too deep");
        Json value;
        blank(at);
        if (*at == '{')
        {
            value.kind = OBJECT;
            blank(++at);
            for (bool first = true; *at != '}'; first = false)
            {
                if (!first)
                    expect(at, ",");
                blank(at);
                std::string name = quoted(at);
                blank(at);
                expect(at, ":");
                value.members[name] = read(at, depth + 1);
                blank(at);
            }
            ++at;
        }
        else if (*at == '[')
        {
            value.kind = ARRAY;
            blank(++at);
            for (bool first = true; *at != ']'; first = false)
            {
                if (!first)
                    expect(at, ",");
                value.items.push_back(read(at, depth + 1));
                blank(at);
            }
            ++at;
        }
        else if (*at == '"')
        {
            value.kind = TEXT;
            value.text = quoted(at);
        }
        else if (*at == 't' || *at == 'f')
        {
            value.kind = BOOLEAN;
            value.truth = *at == 't';
            expect(at, value.truth ? "true" : "false");
        }
        else if (*at == 'n')
            expect(at, "null");
        else
        {
            value.kind = NUMBER;
            while (std::isalnum(static_cast<unsigned char>(*at)) || *at == '-' || *at == '+' || *at == '.')
                value.text += *at++;
            if (value.text.empty())
                throw Refused("not JSON: expected a value");
        }
        return value;
    }

    static std::string quoted(const char*& at)
    {
        expect(at, "\"");
        std::string text;
        for (; *at != '"'; ++at)
        {
            if (!*at)
                throw Refused("not JSON: text without its end");
            if (*at != '\\')
            {
                text += *at;
                continue;
            }
            switch (*++at)
            {
            case 'n': text += '\n'; break;
            case 't': text += '\t'; break;
            case 'r': text += '\r'; break;
            case 'b': text += '\b'; break;
            case 'f': text += '\f'; break;
            case 'u': {
                unsigned code = 0;
                for (int digit = 0; digit < 4; ++digit)
                {
                    if (!std::isxdigit(static_cast<unsigned char>(*++at)))
                        throw Refused("not JSON: \\u needs four digits");
                    code = code * 16 + static_cast<unsigned>(std::stoi(std::string(1, *at), nullptr, 16));
                }
                if (code < 0x80)
                    text += static_cast<char>(code);
                else if (code < 0x800)
                    text += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
                else
                    text += {static_cast<char>(0xE0 | code >> 12),
                             static_cast<char>(0x80 | (code >> 6 & 63)),
                             static_cast<char>(0x80 | (code & 63))};
                break;
            }
            case '\0': throw Refused("not JSON: text without its end");
            default: text += *at;
            }
        }
        ++at;
        return text;
    }
};

// Text as a JSON string.
inline std::string json(const std::string& text)
{
    static const char* digits = "0123456789abcdef";
    std::string quoted = "\"";
    for (unsigned char c : text)
    {
        if (c == '"' || c == '\\')
            (quoted += '\\') += static_cast<char>(c);
        else if (c == '\n')
            quoted += "\\n";
        else if (c < 32)
            ((quoted += "\\u00") += digits[c >> 4]) += digits[c & 15];
        else
            quoted += static_cast<char>(c);
    }
    return quoted + '"';
}

} // namespace nepiq

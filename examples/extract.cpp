// Prints the entities and relations of a text file.
//
//     c++ -std=c++17 -Iinclude examples/extract.cpp -Ltarget/release -lbie -Wl,-rpath,target/release -o extract
//     ./extract models/default abstract.txt
#include <bie.hpp>

#include <fstream>
#include <iostream>
#include <iterator>

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: extract BUNDLE FILE\n";
        return 2;
    }
    std::ifstream file(argv[2], std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        std::cerr << "extract: cannot read " << argv[2] << '\n';
        return 1;
    }

    try {
        const bie::Engine engine(argv[1]);
        const bie::Result result = engine.extract(text);
        const auto words = [&](const bie_mention &m) { return text.substr(m.start, m.end - m.start); };

        for (const bie_mention &m : result.mentions()) {
            std::cout << m.start << '-' << m.end << ' ' << m.score << ' ' << engine.label(m.label) << ' ' << words(m) << '\n';
        }
        for (const bie_relation &r : result.relations()) {
            std::cout << words(result.mentions()[r.head]) << " -> " << engine.relation_label(r.label) << " -> "
                      << words(result.mentions()[r.tail]) << ' ' << r.score << '\n';
        }
    } catch (const bie::Error &error) {
        std::cerr << "extract: " << error.what() << '\n';
        return 1;
    }
    return 0;
}

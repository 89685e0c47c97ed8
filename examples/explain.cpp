// Prints the entities and relations of a text file, and why each was found.
//
//     c++ -std=c++17 -Iinclude examples/explain.cpp -Ltarget/release -lbie -Wl,-rpath,target/release -o explain
//     ./explain models/default abstract.txt
#include <bie.hpp>

#include <fstream>
#include <iostream>
#include <iterator>

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: explain BUNDLE FILE\n";
        return 2;
    }
    std::ifstream file(argv[2], std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        std::cerr << "explain: cannot read " << argv[2] << '\n';
        return 1;
    }

    try {
        const bie::Engine engine(argv[1]);
        const bie::Result result = engine.extract(text);
        const auto words = [&](const auto &part) { return text.substr(part.start, part.end - part.start); };

        const auto print = [&](const bie::Explanation &why) {
            const bie_summary &summary = why.summary();
            // What deleting the words does was measured; where it does little, they are no reason.
            if (!summary.unreliable) {
                for (const bie_evidence &e : why.evidence_for()) std::cout << "    for     " << words(e) << '\n';
                for (const bie_evidence &e : why.evidence_against()) std::cout << "    against " << words(e) << '\n';
            }
            std::cout << "    without " << summary.score << " -> " << summary.without_evidence << '\n';
        };

        // The more time, the finer the weights; the default has no limit.
        bie::Options options;
        options.set("time_budget_ms", 5000);
        std::vector<bie::Target> targets;
        for (std::uint32_t i = 0; i < result.mentions().size(); i++) targets.push_back(bie::Target::entity(i));
        for (std::uint32_t i = 0; i < result.relations().size(); i++) targets.push_back(bie::Target::relation(i));
        const std::vector<bie::Explanation> reasons = engine.explain(text, result, targets, options);

        std::size_t next = 0;
        for (const bie_mention &m : result.mentions()) {
            std::cout << words(m) << " is " << engine.label(m.label) << ' ' << m.score << '\n';
            print(reasons[next++]);
        }
        for (const bie_relation &r : result.relations()) {
            std::cout << words(result.mentions()[r.head]) << " -> " << engine.relation_label(r.label) << " -> "
                      << words(result.mentions()[r.tail]) << ' ' << r.score << '\n';
            print(reasons[next++]);
        }
    } catch (const bie::Error &error) {
        std::cerr << "explain: " << error.what() << '\n';
        return 1;
    }
    return 0;
}

// Prints the first relations of a text file, and why each was found; the first entities if it has no relation.
//
//     c++ -std=c++17 -Iinclude examples/explain.cpp -Ltarget/release -lbie -Wl,-rpath,target/release -o explain
//     ./explain models/default abstract.txt
#include <bie.hpp>

#include <algorithm>
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

        // A host asks for the decision that a user points at; here it is the first few, which share their work.
        const bool related = !result.relations().empty();
        const std::size_t found = related ? result.relations().size() : result.mentions().size();
        std::vector<bie::Target> targets;
        for (std::uint32_t i = 0; i < std::min<std::size_t>(found, 3); i++)
            targets.push_back(related ? bie::Target::relation(i) : bie::Target::entity(i));
        const std::vector<bie::Explanation> reasons = engine.explain(text, result, targets);

        for (std::size_t i = 0; i < reasons.size(); i++) {
            if (related) {
                const bie_relation &r = result.relations()[i];
                std::cout << words(result.mentions()[r.head]) << " -> " << engine.relation_label(r.label) << " -> "
                          << words(result.mentions()[r.tail]) << ' ' << r.score << '\n';
            } else {
                const bie_mention &m = result.mentions()[i];
                std::cout << words(m) << " is " << engine.label(m.label) << ' ' << m.score << '\n';
            }
            print(reasons[i]);
        }
    } catch (const bie::Error &error) {
        std::cerr << "explain: " << error.what() << '\n';
        return 1;
    }
    return 0;
}

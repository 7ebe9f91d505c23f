// Writes sampler.jsonl: what llama.cpp's own samplers leave of random rows of logits, one case a line. Made with the llama.cpp
// that llama-cpp-python 0.3.36 ships. In a llama.cpp folder with a static build:
//
//   g++ -std=c++17 -O1 -Iinclude -Iggml/include make_sampler.cpp build/src/libllama.a build/ggml/src/libggml.a \
//       build/ggml/src/libggml-cpu.a build/ggml/src/libggml-base.a -fopenmp -ldl -lpthread -o make_sampler
//   ./make_sampler > sampler.jsonl
#include "llama.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern llama_sampler * llama_sampler_init_dry_testing(float multiplier, float base, int32_t allowed_length, int32_t penalty_last_n,
                                                      const std::vector<std::vector<llama_token>> & seq_breakers);

static std::mt19937 rng(20240607);

static float uniform(float low, float high) { return low + (high - low) * float(rng() % 100000) / 100000.0f; }
static bool  chance(float p)                { return uniform(0, 1) < p; }

// Short decimal numbers, so that the file and the C++ variable hold the same value.
static float rounded(float x) { return std::round(x * 100.0f) / 100.0f; }

int main() {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    for (int n = 0; n < 160; ++n) {
        const int n_vocab = 8 + int(rng() % 40);
        std::map<std::string, float> o;
        std::vector<std::string> order = { "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature" };
        if (chance(0.5f)) { std::shuffle(order.begin(), order.end(), rng); }
        const bool mirostat = n % 16 == 15;

        if (chance(0.4f)) { o["penalty_last_n"] = 1 + int(rng() % 30); o["penalty_repeat"] = rounded(uniform(0.7f, 2)); o["penalty_freq"] = rounded(uniform(-1, 1)); o["penalty_present"] = rounded(uniform(-1, 1)); }
        if (chance(0.4f)) { o["dry_multiplier"] = rounded(uniform(0.2f, 2)); o["dry_base"] = rounded(uniform(1, 2)); o["dry_allowed_length"] = 1 + int(rng() % 3); o["dry_penalty_last_n"] = 4 + int(rng() % 40); }
        if (chance(0.5f)) { o["top_k"] = 1 + int(rng() % n_vocab); } else { o["top_k"] = 0; }
        o["top_p"] = chance(0.5f) ? rounded(uniform(0, 1)) : 1.0f;
        o["min_p"] = chance(0.5f) ? rounded(uniform(0.01f, 0.6f)) : 0.0f;
        if (chance(0.3f)) { o["xtc_probability"] = 1.0f; o["xtc_threshold"] = rounded(uniform(0.02f, 0.4f)); }
        o["temp"] = chance(0.8f) ? rounded(uniform(0.3f, 2)) : 1.0f;
        // llama.cpp's top-n-sigma leaves tokens of logit -inf in the list, whose 0 * log(0) breaks typical and whose number dilutes
        // the dynamic temperature; kinglet removes them. The two are compared where that makes no difference.
        if (chance(0.3f)) { o["top_n_sigma"] = rounded(uniform(0.3f, 3)); }
        else {
            if (chance(0.4f)) { o["typ_p"] = rounded(uniform(0.05f, 0.99f)); }
            if (chance(0.3f)) { o["dynatemp_range"] = rounded(uniform(0.1f, 1)); o["dynatemp_exponent"] = rounded(uniform(0.5f, 2)); }
            if (chance(0.3f)) { o["min_keep"] = 1 + int(rng() % 6); }
        }
        if (mirostat) { o["mirostat_v2"] = 1; o["mirostat_tau"] = rounded(uniform(0.5f, 3)); o["mirostat_eta"] = 0.1f; }

        std::vector<llama_logit_bias> bias;
        if (chance(0.3f)) { for (int i = 0; i < 3; ++i) { bias.push_back({ int(rng() % n_vocab), rounded(uniform(-2, 2)) }); } }
        std::vector<std::vector<llama_token>> breakers;
        if (chance(0.5f)) { breakers = { { 3 }, { 1, 2 }, { 1, 0, 2 } }; }
        std::vector<llama_token> accepted(rng() % 60);
        for (auto & token : accepted) { token = rng() % 4 + (chance(0.1f) ? 4 : 0); }

        std::normal_distribution<float> normal(0, 2);
        std::vector<llama_token_data> data;
        for (int id = 0; id < n_vocab; ++id) { data.push_back({ id, std::round(normal(rng) * 1e4f) / 1e4f, 0 }); }
        std::vector<float> logits;
        for (auto & d : data) { logits.push_back(d.logit); }

        auto get = [&](const char * name, float otherwise) { auto it = o.find(name); return it == o.end() ? otherwise : it->second; };
        llama_sampler * chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
        if (!bias.empty()) { llama_sampler_chain_add(chain, llama_sampler_init_logit_bias(n_vocab, bias.size(), bias.data())); }
        if (mirostat) {
            llama_sampler_chain_add(chain, llama_sampler_init_temp(get("temp", 0.8f)));
            llama_sampler_chain_add(chain, llama_sampler_init_mirostat_v2(1, get("mirostat_tau", 5), get("mirostat_eta", 0.1f)));
        } else {
            const size_t keep = get("min_keep", 0);
            for (auto & name : order) {
                llama_sampler * s =
                    name == "penalties"   ? llama_sampler_init_penalties(n_vocab, get("penalty_last_n", 64), get("penalty_repeat", 1), get("penalty_freq", 0), get("penalty_present", 0)) :
                    name == "dry"         ? (o.count("dry_multiplier") ? llama_sampler_init_dry_testing(o["dry_multiplier"], o["dry_base"], o["dry_allowed_length"], o["dry_penalty_last_n"], breakers) : nullptr) :
                    name == "top_n_sigma" ? llama_sampler_init_top_n_sigma(get("top_n_sigma", -1)) :
                    name == "top_k"       ? llama_sampler_init_top_k(get("top_k", 40)) :
                    name == "typ_p"       ? llama_sampler_init_typical(get("typ_p", 1), keep) :
                    name == "top_p"       ? llama_sampler_init_top_p(get("top_p", 0.95f), keep) :
                    name == "min_p"       ? llama_sampler_init_min_p(get("min_p", 0.05f), keep) :
                    name == "xtc"         ? llama_sampler_init_xtc(get("xtc_probability", 0), get("xtc_threshold", 0.1f), keep, 1) :
                                            llama_sampler_init_temp_ext(get("temp", 0.8f), get("dynatemp_range", 0), get("dynatemp_exponent", 1));
                if (s) { llama_sampler_chain_add(chain, s); }
            }
            llama_sampler_chain_add(chain, llama_sampler_init_dist(1));
        }
        for (auto token : accepted) { llama_sampler_accept(chain, token); }
        llama_token_data_array row = { data.data(), data.size(), -1, false };
        llama_sampler_apply(chain, &row);
        std::map<int, float> left;
        for (size_t i = 0; i < row.size; ++i) { if (row.data[i].p > 0) { left[row.data[i].id] = row.data[i].p; } }
        llama_sampler_free(chain);

        std::ostringstream out;
        out.precision(6);
        const char * comma = "";
        auto item = [&]() -> std::ostream & { out << comma; comma = ","; return out; };
        out << "{\"samplers\":\""; for (auto & name : order) { out << name << ";"; } out << "\",\"options\":{";
        for (auto & [name, value] : o) { item() << "\"" << name << "\":" << value; }
        out << "},\"logit_bias\":["; comma = ""; for (auto & b : bias) { item() << "[" << b.token << "," << b.bias << "]"; }
        out << "],\"breakers\":[";   comma = ""; for (auto & b : breakers) { item() << "["; comma = ""; for (auto t : b) { item() << t; } out << "]"; comma = ","; }
        out << "],\"accepted\":[";   comma = ""; for (auto t : accepted) { item() << t; }
        out << "],\"logits\":[";     comma = ""; for (auto l : logits) { item() << l; }
        out << "],\"left\":[";       comma = ""; for (auto & [id, p] : left) { item() << "[" << id << "," << p << "]"; }
        out << "]}";
        std::puts(out.str().c_str());
    }
}

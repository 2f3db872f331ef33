/* Classifies with a model out of a library, by hand: layers of weights and biases that lie in the
 * mapped file, with the larger of 0 and x between them.  One layer is a logistic regression, more are
 * a multi-layer perceptron.  A pool holds the network, which all threads share.
 *
 *     network LIBRARY SELECTOR <rows.csv
 *
 * The part "weights" holds weight.0, bias.0, weight.1 ... (float64, inputs by outputs) and classes. */
#include <algorithm>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <exia.hpp>

namespace
{

struct layer {
    exia::span<const double> weight, bias; /* weight[input * outputs + output] */
};

class network
{
  public:
    explicit network(exia::model opened) : model_(std::move(opened))
    {
        for (std::size_t inputs = 0;;) {
            std::string number = std::to_string(layers_.size());
            std::optional<exia::tensor> weight = find("weight." + number);
            if (!weight && !layers_.empty())
                break;
            layer next{at("weight." + number).as<const double>(),
                       at("bias." + number).as<const double>()};
            if (weight->shape().size() != 2 || (inputs != 0 && rows(*weight) != inputs) ||
                next.weight.size() != rows(*weight) * next.bias.size())
                throw std::runtime_error("layer " + number + " does not fit the one before it");
            inputs = next.bias.size();
            layers_.push_back(next);
        }
        classes_ = at("classes").as<const int64_t>();
        if (classes_.size() != layers_.back().bias.size())
            throw std::runtime_error("there are not as many classes as outputs");
    }

    std::size_t inputs() const
    {
        return layers_[0].weight.size() / layers_[0].bias.size();
    }

    int64_t classify(std::vector<double> in) const
    {
        for (const layer &now : layers_) {
            std::vector<double> out(now.bias.begin(), now.bias.end());
            for (std::size_t i = 0; i < in.size(); i++) {
                double x = &now == &layers_[0] ? in[i] : std::max(in[i], 0.0);
                for (std::size_t j = 0; j < out.size(); j++)
                    out[j] += x * now.weight[i * out.size() + j];
            }
            in = std::move(out);
        }
        return classes_[std::size_t(std::max_element(in.begin(), in.end()) - in.begin())];
    }

  private:
    exia::tensor at(const std::string &name) const
    {
        return model_.tensor(name, "weights");
    }
    std::optional<exia::tensor> find(const std::string &name) const
    {
        try {
            return at(name);
        } catch (const exia::error &e) {
            if (e.status() != EXIA_ENOTFOUND)
                throw;
            return std::nullopt;
        }
    }
    static std::size_t rows(const exia::tensor &weight)
    {
        return std::size_t(weight.shape()[0]);
    }

    exia::model model_; /* what the spans are borrowed from */
    std::vector<layer> layers_;
    exia::span<const int64_t> classes_;
};

std::vector<double> numbers(const std::string &line, std::size_t wanted)
{
    std::vector<double> row;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, ',');)
        row.push_back(std::stod(cell));
    if (row.size() != wanted)
        throw std::runtime_error("a row has " + std::to_string(row.size()) + " numbers, not " +
                                 std::to_string(wanted));
    return row;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::cerr << "usage: network LIBRARY SELECTOR <rows.csv\n";
        return 2;
    }
    try {
        exia::library library(argv[1]);
        exia::pool pool("inference");
        pool.add<network>("network", [&] {
            return std::make_unique<network>(library.open(argv[2], EXIA_OPEN_READ_ONLY));
        });
        auto shared = pool.borrow<network>("network");
        for (std::string line; std::getline(std::cin, line);)
            std::cout << shared->classify(numbers(line, shared->inputs())) << '\n';
        return 0;
    } catch (const std::exception &e) {
        std::cerr << "network: " << e.what() << '\n';
        return 1;
    }
}
